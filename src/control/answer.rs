//! The answer of a query as a message of the control service and back.

use std::time::Duration;

use super::generated::query_answer::Value as WireValue;
use super::generated::query_response::Outcome;
use super::generated::{self as wire, FaultKind, QueryAnswer, QueryFault, QueryResponse, Rows};
use crate::query::{Answer, Element, QueryError, Row, Value};
use crate::store::{Labels, Sample};

impl From<Result<Answer, QueryError>> for QueryResponse {
    fn from(answer: Result<Answer, QueryError>) -> Self {
        let outcome = match answer {
            Ok(answer) => Outcome::Answer(answer.into()),
            Err(error) => Outcome::Fault(error.into()),
        };
        Self { outcome: Some(outcome) }
    }
}

/// `None`: the message is not whole.
pub(super) fn read(response: QueryResponse) -> Option<Result<Answer, QueryError>> {
    match response.outcome? {
        Outcome::Answer(answer) => Some(Ok(read_answer(answer)?)),
        Outcome::Fault(fault) => Some(Err(fault.into())),
    }
}

impl From<Answer> for QueryAnswer {
    fn from(answer: Answer) -> Self {
        let value = match answer.value {
            Value::Scalar(sample) => WireValue::Scalar(wire::Scalar { time: sample.t, value: sample.v }),
            Value::Text(text) => WireValue::Text(text),
            Value::Vector(elements) => {
                let rows = elements.iter().map(|element| row(&element.labels, &[element.sample]));
                WireValue::Vector(Rows { rows: rows.collect() })
            }
            Value::Matrix(rows) => {
                WireValue::Matrix(Rows { rows: rows.iter().map(|one| row(&one.labels, &one.samples)).collect() })
            }
        };
        Self { value: Some(value), warnings: answer.warnings, infos: answer.infos }
    }
}

fn row(labels: &Labels, samples: &[Sample]) -> wire::Row {
    let label = |(name, value): (&str, &str)| wire::Label { name: name.to_owned(), value: value.to_owned() };
    wire::Row {
        labels: labels.iter().map(label).collect(),
        times: samples.iter().map(|sample| sample.t).collect(),
        values: samples.iter().map(|sample| sample.v).collect(),
    }
}

fn read_answer(answer: QueryAnswer) -> Option<Answer> {
    let value = match answer.value? {
        WireValue::Scalar(scalar) => Value::Scalar(Sample { t: scalar.time, v: scalar.value }),
        WireValue::Text(text) => Value::Text(text),
        WireValue::Vector(rows) => {
            let element = |row: wire::Row| {
                let (labels, samples) = read_row(row);
                Some(Element { labels, sample: *samples.first()? })
            };
            Value::Vector(rows.rows.into_iter().map(element).collect::<Option<_>>()?)
        }
        WireValue::Matrix(rows) => {
            let row = |row: wire::Row| {
                let (labels, samples) = read_row(row);
                Row { labels, samples }
            };
            Value::Matrix(rows.rows.into_iter().map(row).collect())
        }
    };
    Some(Answer { value, warnings: answer.warnings, infos: answer.infos })
}

fn read_row(row: wire::Row) -> (Labels, Vec<Sample>) {
    let samples = row.times.into_iter().zip(row.values).map(|(t, v)| Sample { t, v });
    (Labels::new(row.labels.into_iter().map(|label| (label.name, label.value))), samples.collect())
}

impl From<QueryError> for QueryFault {
    fn from(error: QueryError) -> Self {
        let fault = |kind: FaultKind, text: String| Self { kind: kind.into(), text, line: 0, column: 0 };
        match error {
            QueryError::Parse { line, column, what } => {
                Self { line: line as u64, column: column as u64, ..fault(FaultKind::Parse, what) }
            }
            QueryError::Execution(text) => fault(FaultKind::Execution, text),
            QueryError::Limit(text) => fault(FaultKind::Limit, text),
            QueryError::Timeout(time) => fault(FaultKind::Timeout, time.as_secs_f64().to_string()),
            QueryError::Store(text) => fault(FaultKind::Store, text),
        }
    }
}

impl From<QueryFault> for QueryError {
    fn from(fault: QueryFault) -> Self {
        let place = |place: u64| usize::try_from(place).unwrap_or(usize::MAX);
        match fault.kind() {
            FaultKind::Parse => Self::Parse { line: place(fault.line), column: place(fault.column), what: fault.text },
            FaultKind::Limit => Self::Limit(fault.text),
            FaultKind::Timeout => {
                let seconds = fault.text.parse().unwrap_or(0.0);
                Self::Timeout(Duration::try_from_secs_f64(seconds).unwrap_or_default())
            }
            FaultKind::Store => Self::Store(fault.text),
            FaultKind::Execution | FaultKind::Unspecified => Self::Execution(fault.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_survives_the_way_through_the_messages() {
        let labels = Labels::new([("__name__", "up"), ("job", "a\n")]);
        let samples = vec![Sample { t: -5, v: f64::INFINITY }, Sample { t: 1 << 50, v: -0.25 }];
        for value in [
            Value::Scalar(samples[0]),
            Value::Text("x".into()),
            Value::Vector(vec![Element { labels: labels.clone(), sample: samples[1] }]),
            Value::Vector(Vec::new()),
            Value::Matrix(vec![Row { labels, samples: samples.clone() }, Row { labels: Labels::default(), samples }]),
        ] {
            let answer = Ok(Answer { value, warnings: vec!["w".into()], infos: vec!["i".into()] });
            assert_eq!(read(answer.clone().into()), Some(answer));
        }
        for error in [
            QueryError::Parse { line: 2, column: 7, what: "x".into() },
            QueryError::Execution("x".into()),
            QueryError::Limit("x".into()),
            QueryError::Timeout(Duration::from_millis(1500)),
            QueryError::Store("x".into()),
        ] {
            assert_eq!(read(Err(error.clone()).into()), Some(Err(error)));
        }
        assert_eq!(read(QueryResponse { outcome: None }), None);
    }
}
