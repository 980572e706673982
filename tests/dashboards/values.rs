//! What panels make of series that are easily told wrong: two names for one thing, a series that begins, no label at all.

use plimsoll::query::{self, Limits, Query, Value, notation};
use plimsoll::store::{Sample, Store};
use std::time::Duration;

use super::{Ask, asks};

const MINUTE: i64 = 60_000;
/// Minutes from the first point to the question.
const AT: i64 = 30;

/// A panel, series in promtool's notation with a point each minute, and the values of the panel.
type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static [f64]);

const CASES: &[Case] = &[
    (
        "overview",
        "Pages",
        &[
            ("ALERTS{alertname=\"TooFewServers\", alertstate=\"firing\", job=\"shop\", severity=\"page\"}", "1x30"),
            (
                "ALERTS{alertname=\"PostgresDown\", alertstate=\"firing\", instance=\"a:5432\", severity=\"page\"}",
                "1x30",
            ),
            ("ALERTS{alertname=\"HostDiskFull\", alertstate=\"firing\", instance=\"b\", severity=\"page\"}", "1x30"),
        ],
        &[2.0],
    ),
    (
        "plimsoll",
        "Lost in this time",
        &[
            ("plimsoll_lost_total{instance=\"a\", part=\"tail\", reason=\"cut\"}", "_x10 7x20"),
            ("plimsoll_lost_total{instance=\"a\", part=\"tail\", reason=\"gone\"}", "_x10 5x10 8x10"),
        ],
        &[15.0],
    ),
    (
        "stage-3",
        "Requests by status",
        &[
            (
                "http_server_request_duration_seconds_count{job=\"shop\", instance=\"a\", http_response_status_code=\"200\"}",
                "0+60x30",
            ),
            (
                "http_server_request_duration_milliseconds_count{job=\"blog\", instance=\"a\", http_response_status_code=\"200\"}",
                "0+120x30",
            ),
        ],
        &[3.0],
    ),
    (
        "stage-4",
        "Connections of the database",
        &[
            ("postgresql_connection_max{job=\"postgresql\", instance=\"a:5432\"}", "100x30"),
            ("postgresql_connection_reserved{job=\"postgresql\", instance=\"a:5432\"}", "3x30"),
        ],
        &[96.0],
    ),
    (
        "stage-5",
        "Slow calls to upstreams",
        &[
            ("http_client_request_duration_seconds_count{job=\"shop\", instance=\"a\"}", "0+60x30"),
            ("http_client_request_duration_seconds_bucket{job=\"shop\", instance=\"a\", le=\"1\"}", "0+30x30"),
            ("http_client_request_duration_seconds_bucket{job=\"shop\", instance=\"a\", le=\"100\"}", "0+60x30"),
        ],
        &[0.5],
    ),
    (
        "stage-6",
        "Queues without workers",
        &[
            (
                "queue_messages{job=\"q\", instance=\"a\", messaging_system=\"rabbitmq\", messaging_destination_name=\"dlq\", rabbitmq_vhost_name=\"/\", state=\"ready\"}",
                "3x30",
            ),
            (
                "queue_consumers{job=\"q\", instance=\"a\", messaging_system=\"rabbitmq\", messaging_destination_name=\"dlq\", rabbitmq_vhost_name=\"/\"}",
                "0x30",
            ),
            (
                "queue_messages{job=\"q\", instance=\"a\", messaging_system=\"rabbitmq\", messaging_destination_name=\"mail\", rabbitmq_vhost_name=\"/\", state=\"ready\"}",
                "3x30",
            ),
            (
                "queue_consumers{job=\"q\", instance=\"a\", messaging_system=\"rabbitmq\", messaging_destination_name=\"mail\", rabbitmq_vhost_name=\"/\"}",
                "1x10 0x20",
            ),
            (
                "queue_messages{job=\"q\", instance=\"a\", messaging_system=\"rabbitmq\", messaging_destination_name=\"mail\", rabbitmq_vhost_name=\"test\", state=\"ready\"}",
                "3x30",
            ),
            (
                "queue_consumers{job=\"q\", instance=\"a\", messaging_system=\"rabbitmq\", messaging_destination_name=\"mail\", rabbitmq_vhost_name=\"test\"}",
                "1x30",
            ),
        ],
        &[1.0],
    ),
    (
        "stage-7",
        "Oldest transaction number",
        &[
            ("postgresql_database_freeze_age{job=\"p\", instance=\"a:5432\", db_namespace=\"shop\"}", "210000000x30"),
            (
                "postgresql_database_multixact_age{job=\"p\", instance=\"a:5432\", db_namespace=\"shop\"}",
                "1050000000x30",
            ),
        ],
        &[0.5],
    ),
];

/// What one query gives of `series`, of the box `a`.
fn values(ask: &Ask, series: &[(&str, &str)]) -> Vec<f64> {
    let store = Store::memory();
    for (name, points) in series {
        let labels = notation::labels(name).unwrap();
        for (at, value) in notation::points(points).unwrap().into_iter().enumerate() {
            if let Some(v) = value {
                store.append(&labels, Sample { t: at as i64 * MINUTE, v });
            }
        }
    }
    let expr = ask.expr.replace("$__rate_interval", "5m").replace("$__range", "1h");
    let query = Query::parse(&expr.replace("$instance", "a").replace("$service", ".+")).unwrap();
    let limits = Limits {
        samples: 10_000,
        steps: 100,
        time: Duration::from_secs(10),
        lookback: Duration::from_secs(300),
        delayed_name_removal: false,
    };
    match query::instant(&store, &query, AT * MINUTE, limits).unwrap().value {
        Value::Vector(all) => all.into_iter().map(|element| element.sample.v).collect(),
        other => panic!("{expr}: {other:?}"),
    }
}

#[test]
fn panels_tell_the_truth_of_what_is_easily_told_wrong() {
    for (board, panel, series, want) in CASES {
        let mut of_panel = asks().into_iter().filter(|ask| ask.board == *board && ask.panel == *panel).peekable();
        assert!(of_panel.peek().is_some(), "{board} has no panel {panel}");
        let got: Vec<f64> = of_panel.flat_map(|ask| values(&ask, series)).collect();
        let near = got.len() == want.len() && got.iter().zip(*want).all(|(got, want)| (got - want).abs() < 0.2);
        assert!(near, "{board}, {panel}: {got:?}, not {want:?}");
    }
}
