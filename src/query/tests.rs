use super::*;

pub(super) fn limits() -> Limits {
    Limits {
        samples: 1_000_000,
        steps: 11_000,
        time: Duration::from_secs(10),
        lookback: Duration::from_secs(300),
        delayed_name_removal: false,
    }
}

/// Series with a sample each minute from 0 on.
pub(super) fn store(series: &[(&[(&str, &str)], &[f64])]) -> Store {
    let store = Store::memory();
    for (labels, values) in series {
        let labels = Labels::new(labels.iter().copied());
        for (t, v) in (0..).step_by(60_000).zip(values.iter()) {
            assert!(store.append(&labels, Sample { t, v: *v }));
        }
    }
    store
}

fn shop() -> Store {
    store(&[
        (&[("__name__", "requests"), ("dc", "a"), ("host", "1")], &[1.0, 2.0, 3.0, 4.0]),
        (&[("__name__", "requests"), ("dc", "a"), ("host", "2")], &[10.0, 20.0, 30.0, 40.0]),
        (&[("__name__", "requests"), ("dc", "b"), ("host", "3")], &[5.0, 5.0, 5.0, 5.0]),
        (&[("__name__", "limit"), ("dc", "a")], &[100.0, 100.0, 100.0, 100.0]),
        (&[("__name__", "limit"), ("dc", "b")], &[50.0, 50.0, 50.0, 50.0]),
    ])
}

/// Answers as `labels value` lines.
fn ask(store: &Store, query: &str, at: i64) -> Result<Vec<String>, QueryError> {
    let answer = instant(store, &Query::parse(query)?, at, limits())?;
    Ok(match answer.value {
        Value::Scalar(sample) => vec![sample.v.to_string()],
        Value::Text(text) => vec![text],
        Value::Vector(elements) => elements.iter().map(|e| format!("{} {}", e.labels, e.sample.v)).collect(),
        Value::Matrix(rows) => rows.iter().map(|row| format!("{} {}", row.labels, row.samples.len())).collect(),
    })
}

#[test]
fn operators_and_aggregations_answer_as_prometheus_does() {
    let store = shop();
    let cases: &[(&str, &[&str])] = &[
        ("requests{host=\"1\"}", &["requests{dc=\"a\", host=\"1\"} 4"]),
        ("sum by (dc) (requests)", &["{dc=\"a\"} 44", "{dc=\"b\"} 5"]),
        ("requests > 4", &["requests{dc=\"a\", host=\"2\"} 40", "requests{dc=\"b\", host=\"3\"} 5"]),
        (
            "requests > bool 4 or vector(7)",
            &["{} 7", "{dc=\"a\", host=\"1\"} 0", "{dc=\"a\", host=\"2\"} 1", "{dc=\"b\", host=\"3\"} 1"],
        ),
        (
            "requests / on (dc) group_left limit * 100",
            &["{dc=\"a\", host=\"1\"} 4", "{dc=\"a\", host=\"2\"} 40", "{dc=\"b\", host=\"3\"} 10"],
        ),
        ("limit - on (dc) sum by (dc) (requests)", &["{dc=\"a\"} 56", "{dc=\"b\"} 45"]),
        ("topk(2, requests)", &["requests{dc=\"a\", host=\"2\"} 40", "requests{dc=\"b\", host=\"3\"} 5"]),
        ("-2 ^ 2 + 3 * -1", &["-7"]),
        ("count(requests offset 1m) - 1", &["{} 2"]),
        (
            "requests[2m:1m]",
            &[
                "requests{dc=\"a\", host=\"1\"} 2",
                "requests{dc=\"a\", host=\"2\"} 2",
                "requests{dc=\"b\", host=\"3\"} 2",
            ],
        ),
        ("absent(nothing{job=\"x\"})", &["{job=\"x\"} 1"]),
        ("quantile(0.5, requests)", &["{} 5"]),
        ("count_values(\"v\", limit)", &["{v=\"100\"} 1", "{v=\"50\"} 1"]),
        ("requests and on (dc) limit{dc=\"b\"}", &["requests{dc=\"b\", host=\"3\"} 5"]),
    ];
    for (query, want) in cases {
        assert_eq!(ask(&store, query, 180_000).unwrap(), *want, "{query}");
    }
}
