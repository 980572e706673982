//! A query as a tree: what was written, checked, with the places that remarks name.

use super::length::Length;
use crate::store::Matcher;

/// What an expression yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Scalar,
    Vector,
    Matrix,
    Text,
}

impl Type {
    /// As Prometheus calls it in its errors.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            Self::Text => "string",
        }
    }
}

/// One expression.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// The byte where it begins.
    pub(super) place: usize,
    /// The byte behind its end.
    pub(super) end: usize,
    /// Levels below and with it.
    pub(super) height: usize,
    /// Whether it has the same value at each step.
    pub(super) fixed: bool,
}

/// What an expression is.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// A number; true: written as a duration, in seconds.
    Number(f64, bool),
    Text(String),
    Select(Selector),
    /// A selector with its range.
    Range(Selector, Length),
    Subquery(Box<Subquery>),
    /// With a sign; true for a minus.
    Sign(bool, Box<Node>),
    Paren(Box<Node>),
    Binary(Box<Binary>),
    Aggregate(Box<Aggregate>),
    Call(&'static Function, Vec<Node>),
}

/// Which series, and when.
#[derive(Debug, Clone)]
pub(super) struct Selector {
    /// The name before the braces.
    pub(super) name: Option<String>,
    /// All demands, that on the name last.
    pub(super) matchers: Vec<Matcher>,
    pub(super) shift: Shift,
    pub(super) edges: Edges,
}

/// `offset` and `@`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Shift {
    /// How far back.
    pub(super) offset: Length,
    pub(super) at: Option<At>,
}

/// Where a selector takes the values at the bounds of its range from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edges {
    /// From the samples inside, as the function sees it.
    Plain,
    /// `anchored`: from the samples before the bounds, no further back than the lookback.
    Anchored,
    /// `smoothed`: from the line between the samples on both sides of a bound.
    Smoothed,
}

impl Edges {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Anchored => "anchored",
            Self::Smoothed => "smoothed",
        }
    }
}

/// The time of `@`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Start,
    End,
    /// Unix milliseconds.
    Time(i64),
}

/// `expr[range:step]`
#[derive(Debug, Clone)]
pub(super) struct Subquery {
    pub(super) expr: Node,
    pub(super) range: Length,
    /// None: the default.
    pub(super) step: Option<Length>,
    pub(super) shift: Shift,
}

/// An operator between two expressions.
#[derive(Debug, Clone)]
pub(super) struct Binary {
    pub(super) op: Op,
    pub(super) left: Node,
    pub(super) right: Node,
    pub(super) matching: Matching,
    /// `bool`
    pub(super) truth: bool,
}

/// Operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    And,
    Or,
    Unless,
}

impl Op {
    /// Text, operator and how tightly it binds.
    pub(super) const ALL: &[(&'static str, Self, u8)] = &[
        ("or", Self::Or, 1),
        ("and", Self::And, 2),
        ("unless", Self::Unless, 2),
        ("==", Self::Equal, 3),
        ("!=", Self::NotEqual, 3),
        ("<", Self::Less, 3),
        ("<=", Self::LessEqual, 3),
        (">", Self::Greater, 3),
        (">=", Self::GreaterEqual, 3),
        ("+", Self::Add, 4),
        ("-", Self::Sub, 4),
        ("*", Self::Mul, 5),
        ("/", Self::Div, 5),
        ("%", Self::Mod, 5),
        ("atan2", Self::Atan2, 5),
        ("^", Self::Pow, 6),
    ];

    pub(super) fn text(self) -> &'static str {
        Self::ALL.iter().find(|(_, op, _)| *op == self).map_or("", |(text, _, _)| text)
    }

    pub(super) fn compares(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual | Self::Less | Self::LessEqual | Self::Greater | Self::GreaterEqual)
    }

    pub(super) fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }
}

/// How the elements of two vectors find each other.
#[derive(Debug, Clone, Default)]
pub(super) struct Matching {
    /// By these labels (`on`), else by all but these (`ignoring`).
    pub(super) on: bool,
    pub(super) labels: Vec<String>,
    pub(super) group: Group,
    /// Labels that `group_left` and `group_right` take over.
    pub(super) include: Vec<String>,
}

/// Which side may have many elements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Group {
    #[default]
    One,
    Left,
    Right,
}

/// An aggregation.
#[derive(Debug, Clone)]
pub(super) struct Aggregate {
    pub(super) op: Aggregator,
    pub(super) expr: Node,
    pub(super) param: Option<Node>,
    pub(super) without: bool,
    pub(super) labels: Vec<String>,
}

/// Aggregators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregator {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    Quantile,
    CountValues,
}

impl Aggregator {
    pub(super) const ALL: &[(&'static str, Self)] = &[
        ("sum", Self::Sum),
        ("avg", Self::Avg),
        ("min", Self::Min),
        ("max", Self::Max),
        ("count", Self::Count),
        ("group", Self::Group),
        ("stddev", Self::Stddev),
        ("stdvar", Self::Stdvar),
        ("topk", Self::Topk),
        ("bottomk", Self::Bottomk),
        ("quantile", Self::Quantile),
        ("count_values", Self::CountValues),
    ];

    pub(super) fn text(self) -> &'static str {
        Self::ALL.iter().find(|(_, op)| *op == self).map_or("", |(text, _)| text)
    }

    pub(super) fn has_param(self) -> bool {
        matches!(self, Self::Topk | Self::Bottomk | Self::Quantile | Self::CountValues)
    }
}

/// A function's name and types.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) args: &'static [Type],
    /// How many arguments may be missing (1) or come on top (more than 1: any number).
    pub(super) variadic: usize,
    pub(super) result: Type,
}

impl Node {
    /// What it yields.
    pub(super) fn ty(&self) -> Type {
        match &self.kind {
            Kind::Number(..) => Type::Scalar,
            Kind::Text(_) => Type::Text,
            Kind::Select(_) | Kind::Aggregate(_) => Type::Vector,
            Kind::Range(..) | Kind::Subquery(_) => Type::Matrix,
            Kind::Sign(_, expr) | Kind::Paren(expr) => expr.ty(),
            Kind::Binary(binary) => match (binary.left.ty(), binary.right.ty()) {
                (Type::Scalar, Type::Scalar) => Type::Scalar,
                _ => Type::Vector,
            },
            Kind::Call(function, _) => function.result,
        }
    }

    /// Without the parentheses around it.
    pub(super) fn bare(&self) -> &Self {
        let mut node = self;
        while let Kind::Paren(inner) = &node.kind {
            node = inner;
        }
        node
    }

    /// The text of a text literal.
    pub(super) fn literal(&self) -> &str {
        if let Kind::Text(text) = &self.bare().kind { text } else { "" }
    }
}
