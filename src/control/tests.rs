//! The service through its socket, and the generated code against its source.

use std::path::{Path, PathBuf};

use super::*;
use crate::alert::view::{GroupView, View};
use crate::signal::frame::Signal;
use crate::status::Board;
use crate::status::report::{Health, Identity, Report, Usage};

fn identity() -> Identity {
    Identity { version: "1.2.3".into(), host: "box".into(), pid: 7, started: 1_700_000_000_000_000_000 }
}

struct Agent {
    path: PathBuf,
    board: Board,
    store: Store,
    views: Views,
    commands: mpsc::Receiver<Command>,
    stop: Stop,
    task: tokio::task::JoinHandle<Result<(), tonic::transport::Error>>,
}

fn start(folder: &Path) -> Agent {
    let path = folder.join("control.sock");
    let board = Board::new();
    let store = Store::memory();
    let views = Views::default();
    let reporter = Arc::new(Reporter::new(identity(), board.clone()));
    let shown = Shown { reporter, store: store.clone(), views: views.clone() };
    let (sender, commands) = mpsc::channel(1);
    let stop = Stop::new();
    let task = tokio::spawn(serve(Socket::bind(&path).unwrap(), shown, sender, stop.clone()));
    Agent { path, board, store, views, commands, stop, task }
}

#[tokio::test]
async fn status_tells_what_stands_on_the_board() {
    let dir = tempfile::tempdir().unwrap();
    let agent = start(dir.path());
    agent.board.source("host").points.set(31);
    agent.board.destination("loki", Signal::Logs).answer.set("204");
    agent.board.lost("tail", "truncated_unread", 10, "a.log");
    let report = Client::connect(&agent.path).await.unwrap().status().await.unwrap();
    assert_eq!((report.host.as_str(), report.pid, report.sources[0].points), ("box", 7, 31));
    assert_eq!((report.destinations[0].answer.as_str(), report.losses[0].count), ("204", 10));
    agent.stop.set();
    agent.task.await.unwrap().unwrap();
    assert!(!agent.path.exists(), "the socket goes with its agent");
}

#[tokio::test]
async fn two_agents_with_their_own_folders_answer_for_themselves() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, two) = (start(one.path()), start(two.path()));
    one.board.source("first");
    two.board.source("second");
    let mut names = Vec::new();
    for agent in [&one, &two] {
        names.push(Client::connect(&agent.path).await.unwrap().status().await.unwrap().sources[0].name.clone());
    }
    assert_eq!(names, ["first", "second"]);
    assert!(matches!(Socket::bind(&one.path), Err(SocketError::InUse(_))), "a third may not take a living one's place");
}

#[tokio::test]
async fn a_reload_is_the_agents_answer() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = start(dir.path());
    let answers = tokio::spawn(async move {
        for answer in [Ok("2 sources added".to_owned()), Err("line 3: unknown key".to_owned())] {
            let Some(Command::Reload(sender)) = agent.commands.recv().await else { panic!("no command") };
            sender.send(answer).unwrap();
        }
    });
    let mut client = Client::connect(&agent.path).await.unwrap();
    assert_eq!(client.reload().await.unwrap().unwrap(), "2 sources added");
    assert_eq!(client.reload().await.unwrap().unwrap_err(), "line 3: unknown key");
    answers.await.unwrap();
    let stopping = client.reload().await.unwrap_err().to_string();
    assert!(stopping.contains("stopping"), "{stopping}");
}

#[tokio::test]
async fn queries_are_answered_and_mistakes_in_them_told_with_their_place() {
    use crate::query::{QueryError, Value};
    let dir = tempfile::tempdir().unwrap();
    let agent = start(dir.path());
    let labels = crate::store::Labels::new([("__name__", "up"), ("job", "host")]);
    for t in [0, 60_000] {
        let sample = crate::store::Sample { t, v: 1.0 + t as f64 };
        assert_eq!(agent.store.append(&labels, sample), crate::store::Taken::Yes);
    }
    let mut client = Client::connect(&agent.path).await.unwrap();
    let answer = client.query("up + 1", 1000).await.unwrap().unwrap();
    let Value::Vector(elements) = answer.value else { panic!("{answer:?}") };
    assert_eq!((elements[0].labels.get("job"), elements[0].sample.v), ("host", 2.0));
    let answer = client.query_range("up", (0, 60_000, 30_000)).await.unwrap().unwrap();
    let Value::Matrix(rows) = answer.value else { panic!("{answer:?}") };
    assert_eq!(rows[0].samples.iter().map(|sample| sample.v).collect::<Vec<_>>(), [1.0, 1.0, 60_001.0]);
    let error = client.query("up +", 0).await.unwrap().unwrap_err();
    assert!(matches!(error, QueryError::Parse { line: 1, .. }), "{error:?}");
    let error = client.query_range("up", (0, i64::MAX, 1)).await.unwrap().unwrap_err();
    assert!(matches!(error, QueryError::Limit(_) | QueryError::Execution(_)), "{error:?}");
    assert!(client.query_range("up", (0, 1, 0)).await.is_err());
}

#[tokio::test]
async fn alerts_come_with_what_fired_before_when_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let agent = start(dir.path());
    let group = GroupView { name: "disks".into(), ..GroupView::default() };
    agent.views.set(View { off: false, groups: vec![group] });
    let fired = |start| Activation {
        rule: "Full".into(),
        labels: crate::store::Labels::default(),
        start,
        end: None,
        value: 1.0,
        told: Vec::new(),
        silenced: String::new(),
    };
    agent.views.set_history(Arc::new(move |since| match since {
        13 => Err("the ledger /x cannot be read".into()),
        since => Ok([5, 30].into_iter().filter(|start| *start >= since).map(fired).collect()),
    }));
    let mut client = Client::connect(&agent.path).await.unwrap();
    let alerts = client.alerts(0).await.unwrap();
    assert_eq!((alerts.view.groups[0].name.as_str(), alerts.history.len()), ("disks", 0));
    assert_eq!(client.alerts(10).await.unwrap().history, [fired(30)]);
    let error = client.alerts(13).await.unwrap_err().to_string();
    assert!(error.contains("the ledger /x cannot be read"), "{error}");
}

#[tokio::test]
async fn a_missing_and_a_dead_socket_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    let missing = Client::connect(&path).await.unwrap_err().to_string();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let dead = Client::connect(&path).await.unwrap_err().to_string();
    for error in [missing, dead] {
        assert!(error.contains("control.sock") && error.contains("systemctl status plimsoll"), "{error}");
    }
}

#[tokio::test]
async fn somebody_who_speaks_no_grpc_is_told_apart_from_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let hangs_up = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let error = match Client::connect(&path).await {
        Ok(mut client) => client.status().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error, ClientError::NoAnswer { .. }), "{error}");
    hangs_up.abort();
}

#[tokio::test]
async fn connections_over_the_limit_are_closed_and_places_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let agent = start(dir.path());
    let idle: Vec<_> =
        (0..MAX_CONNECTIONS).map(|_| std::os::unix::net::UnixStream::connect(&agent.path).unwrap()).collect();
    let mut over = tokio::net::UnixStream::connect(&agent.path).await.unwrap();
    let read = tokio::io::AsyncReadExt::read(&mut over, &mut [0; 64]).await;
    assert!(matches!(read, Ok(0) | Err(_)), "one too many was served: {read:?}");
    drop(idle);
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        if let Ok(mut client) = Client::connect(&agent.path).await
            && client.status().await.is_ok()
        {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "no place came back");
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_report_survives_the_way_through_the_messages() {
    let board = Board::new();
    let files = board.source("files");
    for (value, cell) in (1..).zip([&files.lines, &files.bytes, &files.points, &files.points_total, &files.interval]) {
        cell.set(value);
    }
    files.fault.set("f");
    board.spool(Signal::Logs).limit.set(5);
    let loki = board.destination("loki", Signal::Logs);
    for (value, cell) in (1..).zip([&loki.frames, &loki.records, &loki.oldest, &loki.failing_since, &loki.next_try]) {
        cell.set(value);
    }
    board.lost("tail", "x", 1, "hint");
    board.note("config", Some("text".into()));
    let usage = Usage { rss_bytes: 37, cpu_seconds: 0.25 };
    let mut report = Reporter::new(identity(), board).report_with(usage, 1_700_000_100_000_000_000);
    assert!(report.health == Health::ShippingLate && !report.reasons.is_empty());
    for health in [Health::Healthy, Health::NotDelivering, Health::SpoolBroken] {
        report.health = health;
        assert_eq!(Report::from(StatusResponse::from(report.clone())), report);
    }
}

/// The generated code is committed, so that nobody who builds needs a compiler of `.proto` files.
#[test]
fn the_generated_code_is_that_of_the_proto_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let set = protox::Compiler::new([root.join("proto")])
        .unwrap()
        .include_source_info(true)
        .open_file("plimsoll/v1/control.proto")
        .unwrap()
        .file_descriptor_set();
    let out = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .build_transport(false)
        .emit_rerun_if_changed(false)
        .out_dir(out.path())
        .compile_fds(set)
        .unwrap();
    let made = std::fs::read_to_string(out.path().join("plimsoll.v1.rs")).unwrap();
    let committed = root.join("src/control/generated.rs");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&committed, &made).unwrap();
    }
    let known = std::fs::read_to_string(&committed).unwrap();
    assert!(
        known == made,
        "src/control/generated.rs is not that of the proto file: UPDATE_GOLDEN=1 cargo test rewrites it"
    );
}
