//! Calls of functions: those of the evaluator itself here, the numbers in [`functions`].

use std::cmp::Ordering;
use std::sync::Arc;

use super::Eval;
use super::block::{ABSENT, Block, Head, Steps, absent, of_name};
use super::select::seconds;
use crate::query::notes::Note;
use crate::query::syntax::{Edges, Kind, Node, Type};
use crate::query::{QueryError, functions};
use crate::store::Labels;
use crate::store::matcher::Op;

impl Eval<'_> {
    pub(super) fn call(&mut self, node: &Node, name: &str, args: &[Node], steps: Steps) -> Result<Block, QueryError> {
        match (name, args) {
            ("time", _) => Block::scalar(&self.budget, (0..steps.count).map(|step| seconds(steps.at(step)))),
            ("pi", _) => Block::scalar(&self.budget, (0..steps.count).map(|_| std::f64::consts::PI)),
            ("vector", [arg]) => self.eval(arg, steps),
            ("scalar", [arg]) => self.scalar(arg, steps),
            ("absent", [arg]) => self.absent(arg, steps),
            ("absent_over_time", [arg]) => {
                self.ranged(name, args)?;
                self.absent_over_time(arg, steps)
            }
            ("timestamp", [arg]) => self.timestamp(arg, steps),
            ("sort" | "sort_desc", [arg]) => self.sort(node, arg, steps, name == "sort"),
            ("label_replace" | "label_join", [arg, texts @ ..]) => self.relabel(name, arg, texts, steps),
            ("histogram_quantile", [q, arg]) => self.histogram(args, &[q], arg, steps),
            ("histogram_fraction", [lower, upper, arg]) => self.histogram(args, &[lower, upper], arg, steps),
            _ => match self.ranged(name, args)? {
                Some(function) => self.over_time(name, args, steps, function),
                None => self.elementwise(name, args, steps),
            },
        }
    }

    /// Where the arguments of a call begin, for remarks. Prometheus forgets it of a subquery.
    pub(super) fn stand(&mut self, args: &[Node]) {
        let place = |arg: &Node| if matches!(arg.bare().kind, Kind::Subquery(_)) { 0 } else { arg.bare().place };
        let places: Vec<usize> = args.iter().map(place).collect();
        self.notes.stand(Arc::from(places));
    }

    /// The function of a range that a call means, if it means one.
    fn ranged(&self, name: &str, args: &[Node]) -> Result<Option<functions::OverTime>, QueryError> {
        let edges = args.iter().find_map(|arg| match &arg.bare().kind {
            Kind::Range(selector, _) => Some(selector.edges),
            _ => None,
        });
        let edges = edges.unwrap_or(Edges::Plain);
        functions::over_time(name, edges).map_err(|those| {
            let word = edges.word();
            QueryError::Execution(format!("{word} modifier can only be used with: {those} - not with {name}"))
        })
    }

    /// A function over the samples of a range.
    fn over_time(
        &mut self,
        name: &str,
        args: &[Node],
        steps: Steps,
        function: functions::OverTime,
    ) -> Result<Block, QueryError> {
        let mut scalars = Vec::new();
        let mut ranged = None;
        for arg in args {
            if arg.ty() == Type::Matrix { ranged = Some(arg) } else { scalars.push(self.eval(arg, steps)?) }
        }
        let Some(ranged) = ranged else { return Ok(Block::new(&self.budget, steps.count)) };
        let ranges = self.ranges(ranged, steps)?;
        self.stand(args);
        let mut out = self.over(&ranges, steps, function, &scalars)?;
        if !matches!(name, "last_over_time" | "first_over_time") {
            self.unname(&mut out)?;
        }
        Ok(out)
    }

    /// A function of each element alone.
    fn elementwise(&mut self, name: &str, args: &[Node], steps: Steps) -> Result<Block, QueryError> {
        let Some(function) = functions::simple(name) else {
            return Err(QueryError::Execution(format!("function \"{name}\" is not answered here")));
        };
        let Some((first, others)) = args.split_first() else {
            // Functions of dates take the time of the step.
            let times = (0..steps.count).map(|step| function(seconds(steps.at(step)), &[]));
            return Block::scalar(&self.budget, times);
        };
        let mut block = self.eval(first, steps)?;
        let scalars = others.iter().map(|arg| self.eval(arg, steps)).collect::<Result<Vec<_>, _>>()?;
        self.spend(block.cells.len() * 2)?;
        let mut values = vec![0.0; scalars.len()];
        for step in 0..steps.count {
            values.iter_mut().zip(&scalars).for_each(|(value, scalar)| *value = scalar.value(step));
            // Between bounds that cross lies nothing.
            let nothing = name == "clamp" && values[1] < values[0];
            for cell in block.cells.iter_mut().skip(step).step_by(steps.count).filter(|cell| !absent(**cell)) {
                *cell = if nothing { ABSENT } else { function(*cell, &values) };
            }
        }
        block.compact();
        self.unname(&mut block)?;
        Ok(block)
    }

    /// The value of a vector's only element, else NaN.
    fn scalar(&mut self, arg: &Node, steps: Steps) -> Result<Block, QueryError> {
        let input = self.eval(arg, steps)?;
        let value = |step: usize| {
            let mut cells = (0..input.rows()).map(|row| input.row(row)[step]).filter(|cell| !absent(*cell));
            match (cells.next(), cells.next()) {
                (Some(only), None) => only,
                _ => f64::NAN,
            }
        };
        Block::scalar(&self.budget, (0..steps.count).map(value))
    }

    fn absent(&mut self, arg: &Node, steps: Steps) -> Result<Block, QueryError> {
        let input = self.eval(arg, steps)?;
        self.missing(&input, Head::from(selected(arg)))
    }

    fn absent_over_time(&mut self, arg: &Node, steps: Steps) -> Result<Block, QueryError> {
        let ranges = self.ranges(arg, steps)?;
        let input = self.over(&ranges, steps, |_, _, _| Some(1.0), &[])?;
        self.missing(&input, Head { labels: selected(arg), drop: self.limits.delayed_name_removal })
    }

    /// 1 in the steps in which no row has a value.
    fn missing(&mut self, input: &Block, head: Head) -> Result<Block, QueryError> {
        self.spend(input.cells.len())?;
        let mut out = Block::new(&self.budget, input.steps);
        out.grow(head)?.fill(1.0);
        for row in 0..input.rows() {
            let cells = out.cells.iter_mut().zip(input.row(row));
            cells.filter(|(_, cell)| !absent(**cell)).for_each(|(out, _)| *out = ABSENT);
        }
        out.compact();
        Ok(out)
    }

    /// The times of a selector's samples; of anything else the time of the step.
    fn timestamp(&mut self, arg: &Node, steps: Steps) -> Result<Block, QueryError> {
        let mut block = if let Kind::Select(selector) = &arg.bare().kind {
            self.select(selector, steps, true)?
        } else {
            let mut block = self.eval(arg, steps)?;
            for (index, cell) in block.cells.iter_mut().enumerate().filter(|(_, cell)| !absent(**cell)) {
                *cell = seconds(steps.at(index % steps.count));
            }
            block
        };
        self.unname(&mut block)?;
        Ok(block)
    }

    /// The elements by value, NaN last; without effect over several steps.
    fn sort(&mut self, node: &Node, arg: &Node, steps: Steps, rising: bool) -> Result<Block, QueryError> {
        let mut block = self.eval(arg, steps)?;
        if steps.from != steps.to {
            self.notes.at(node.place, Note::Sort);
            return Ok(block);
        }
        let mut order: Vec<usize> = (0..block.rows()).collect();
        order.sort_by(|a, b| {
            let (a, b) = (block.cells[*a], block.cells[*b]);
            let order = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
            a.is_nan().cmp(&b.is_nan()).then(if rising { order } else { order.reverse() })
        });
        block.arrange(&order);
        Ok(block)
    }
}

/// The labels that a selector fixes, for what is missing.
fn selected(arg: &Node) -> Labels {
    let matchers = match &arg.bare().kind {
        Kind::Select(selector) | Kind::Range(selector, _) => selector.matchers.as_slice(),
        _ => &[],
    };
    let mut out: Vec<(&str, &str)> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in matchers.iter().filter(|matcher| !of_name(&matcher.name)) {
        if matcher.op == Op::Equal && !seen.contains(&matcher.name.as_str()) {
            out.push((&matcher.name, &matcher.value));
            seen.push(&matcher.name);
        } else {
            out.retain(|(name, _)| *name != matcher.name);
        }
    }
    Labels::new(out)
}
