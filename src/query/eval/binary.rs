//! Operators between scalars and vectors.

use std::collections::HashMap;

use super::Eval;
use super::block::{ABSENT, Block, Head, Steps, absent, alike};
use super::matching::{Groups, braced, group, joined};
use crate::query::QueryError;
use crate::query::syntax::{Binary, Group, Matching, Op, Type};
use crate::store::Labels;

impl Eval<'_> {
    pub(super) fn binary(&mut self, binary: &Binary, steps: Steps) -> Result<Block, QueryError> {
        let mut left = self.eval(&binary.left, steps)?;
        let right = self.eval(&binary.right, steps)?;
        self.spend(left.cells.len() + right.cells.len())?;
        match (binary.left.ty(), binary.right.ty()) {
            (Type::Scalar, Type::Scalar) => {
                for (cell, right) in left.cells.iter_mut().zip(&right.cells) {
                    let (value, keep) = operate(binary.op, *cell, *right);
                    *cell = if binary.op.compares() { truth(keep) } else { value };
                }
                Ok(left)
            }
            (Type::Vector, Type::Scalar) => self.scaled(left, &right, binary, false),
            (Type::Scalar, _) => self.scaled(right, &left, binary, true),
            _ if binary.op.is_set() => self.set(left, right, binary),
            _ => self.join(left, right, binary, steps),
        }
    }

    /// A vector and a scalar; `swapped`: the scalar stands left.
    fn scaled(
        &mut self,
        mut vector: Block,
        scalar: &Block,
        binary: &Binary,
        swapped: bool,
    ) -> Result<Block, QueryError> {
        let compares = binary.op.compares();
        for index in 0..vector.rows() {
            for (cell, scalar) in vector.row_mut(index).iter_mut().zip(&scalar.cells) {
                if absent(*cell) {
                    continue;
                }
                let (left, right) = if swapped { (*scalar, *cell) } else { (*cell, *scalar) };
                let (value, keep) = operate(binary.op, left, right);
                *cell = match (binary.truth, compares, keep) {
                    (true, ..) => truth(keep),
                    // The vector's value stays, on whichever side it stands.
                    (_, true, true) => *cell,
                    (_, true, false) => ABSENT,
                    _ => value,
                };
            }
        }
        if binary.truth || !compares {
            self.unname(&mut vector)?;
        } else {
            vector.compact();
        }
        Ok(vector)
    }

    /// `and`, `or` and `unless`.
    fn set(&mut self, mut left: Block, mut right: Block, binary: &Binary) -> Result<Block, QueryError> {
        let groups = Groups::of(&left, &right, &binary.matching);
        let steps = left.steps;
        let (others, numbers) = if binary.op == Op::Or { (&left, &groups.left) } else { (&right, &groups.right) };
        self.budget.room(groups.count * steps / 8)?;
        let mut there = vec![false; groups.count * steps];
        for (index, number) in numbers.iter().enumerate() {
            let row = &mut there[number * steps..(number + 1) * steps];
            row.iter_mut().zip(others.row(index)).for_each(|(there, cell)| *there |= !absent(*cell));
        }
        let (kept, numbers, wanted) = match binary.op {
            Op::Or => (&mut right, &groups.right, false),
            Op::And => (&mut left, &groups.left, true),
            _ => (&mut left, &groups.left, false),
        };
        for (index, number) in numbers.iter().enumerate() {
            let there = &there[number * steps..(number + 1) * steps];
            let cells = kept.row_mut(index).iter_mut().zip(there);
            cells.filter(|(_, there)| **there != wanted).for_each(|(cell, _)| *cell = ABSENT);
        }
        kept.compact();
        if binary.op == Op::Or {
            for index in 0..right.rows() {
                left.grow(right.heads[index].clone())?.copy_from_slice(right.row(index));
            }
            if steps > 1 || !self.limits.delayed_name_removal {
                left.merge()?;
            }
        }
        Ok(left)
    }

    /// Arithmetic and comparison between two vectors.
    fn join(&mut self, left: Block, right: Block, binary: &Binary, steps: Steps) -> Result<Block, QueryError> {
        let groups = Groups::of(&left, &right, &binary.matching);
        let swapped = binary.matching.group == Group::Right;
        let (many, one, many_of, one_of) = if swapped {
            (&right, &left, &groups.right, &groups.left)
        } else {
            (&left, &right, &groups.left, &groups.right)
        };
        let mut pairs = Pairs {
            out: Block::new(&self.budget, steps.count),
            rows: HashMap::new(),
            latest: vec![(usize::MAX, 0); many.rows()],
            used: Vec::new(),
            later: self.limits.delayed_name_removal,
        };
        let mut found: Vec<Option<usize>> = vec![None; groups.count];
        let mut matched = vec![false; groups.count];
        for step in 0..steps.count {
            found.fill(None);
            matched.fill(false);
            self.spend(many.rows() + one.rows())?;
            // Where one side has nothing there is nothing that could be ambiguous.
            let present = (0..many.rows()).any(|index| !absent(many.row(index)[step]));
            for (index, number) in one_of.iter().enumerate() {
                if !present || absent(one.row(index)[step]) {
                    continue;
                }
                if let Some(other) = found[*number].replace(index) {
                    return Err(ambiguous(&one.heads[index].labels, &one.heads[other].labels, &binary.matching));
                }
            }
            for (index, number) in many_of.iter().enumerate() {
                let cell = many.row(index)[step];
                let Some(other) = found[*number].filter(|_| !absent(cell)) else { continue };
                if binary.matching.group == Group::One {
                    if matched[*number] {
                        return Err(QueryError::Execution(
                            "multiple matches for labels: many-to-one matching must be explicit \
                             (group_left/group_right)"
                                .into(),
                        ));
                    }
                    matched[*number] = true;
                }
                let other_cell = one.row(other)[step];
                let (left, right) = if swapped { (other_cell, cell) } else { (cell, other_cell) };
                let (value, keep) = operate(binary.op, left, right);
                let row = pairs.row((index, &many.heads[index]), (other, &one.heads[other]), binary)?;
                pairs.claim(row, step, *number)?;
                if binary.truth {
                    pairs.out.row_mut(row)[step] = truth(keep);
                } else if keep {
                    pairs.out.row_mut(row)[step] = value;
                }
            }
        }
        let mut out = pairs.out;
        out.compact();
        Ok(out)
    }
}

/// The rows that come out of a join.
struct Pairs {
    out: Block,
    rows: HashMap<Labels, usize>,
    /// Of each row of the "many" side: the row it met last, and what came out of both.
    latest: Vec<(usize, usize)>,
    /// Of each row that comes out: the step and the match group that wrote it last.
    used: Vec<(usize, usize)>,
    later: bool,
}

impl Pairs {
    /// The row for a pair.
    fn row(
        &mut self,
        (many, many_head): (usize, &Head),
        (one, one_head): (usize, &Head),
        binary: &Binary,
    ) -> Result<usize, QueryError> {
        let (latest, row) = self.latest[many];
        if latest == one {
            return Ok(row);
        }
        let unname = binary.truth && !self.later;
        let labels = joined(&many_head.labels, &one_head.labels, binary.op, &binary.matching, unname);
        let row = match self.rows.get(&labels) {
            Some(row) => *row,
            None => {
                let row = self.out.rows();
                self.out.grow(Head { labels: labels.clone(), drop: binary.truth })?;
                self.used.push((usize::MAX, 0));
                self.rows.insert(labels, row);
                row
            }
        };
        self.latest[many] = (one, row);
        Ok(row)
    }

    /// Marks a row as written in a step.
    fn claim(&mut self, row: usize, step: usize, group: usize) -> Result<(), QueryError> {
        let (last, by) = self.used[row];
        self.used[row] = (step, group);
        if last != step {
            return Ok(());
        }
        if by == group {
            return Err(QueryError::Execution(
                "multiple matches for labels: grouping labels must ensure unique matches".into(),
            ));
        }
        Err(alike())
    }
}

fn ambiguous(a: &Labels, b: &Labels, matching: &Matching) -> QueryError {
    let side = if matching.group == Group::Right { "left" } else { "right" };
    let group = braced(&group(a, matching));
    let mut both = [braced(a), braced(b)];
    both.sort();
    QueryError::Execution(format!(
        "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{}, \
         {}];many-to-many matching not allowed: matching labels must be unique on one side",
        both[0], both[1]
    ))
}

fn truth(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

/// The value, and whether it is kept: a comparison keeps the left one where it holds.
fn operate(op: Op, left: f64, right: f64) -> (f64, bool) {
    match op {
        Op::Add => (left + right, true),
        Op::Sub => (left - right, true),
        Op::Mul => (left * right, true),
        Op::Div => (left / right, true),
        Op::Mod => (left % right, true),
        Op::Pow => (left.powf(right), true),
        Op::Atan2 => (left.atan2(right), true),
        #[expect(clippy::float_cmp, reason = "that is the operator")]
        Op::Equal => (left, left == right),
        #[expect(clippy::float_cmp, reason = "that is the operator")]
        Op::NotEqual => (left, left != right),
        Op::Less => (left, left < right),
        Op::LessEqual => (left, left <= right),
        Op::Greater => (left, left > right),
        Op::GreaterEqual => (left, left >= right),
        Op::And | Op::Or | Op::Unless => (ABSENT, false),
    }
}
