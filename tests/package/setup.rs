//! `plimsoll setup` against servers that answer as stacks do that are not ready, and what it leaves behind.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, channel};

use crate::build::packages;
use crate::root::{Root, told};

/// A server that gives every request this answer: its address, and the heads of the requests.
fn server(answer: &'static str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (heads, seen) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut buffer = vec![0; 65536];
            let read = stream.read(&mut buffer).unwrap_or(0);
            let _nobody_looks = heads.send(String::from_utf8_lossy(&buffer[..read]).into_owned()).is_err();
            let (head, body) = answer.split_once('|').unwrap();
            let text = format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let _gone = stream.write_all(text.as_bytes()).is_err();
        }
    });
    (address, seen)
}

fn setup(root: &Path, arguments: &[&str]) -> Output {
    let mut setup = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    setup.args(["setup", "--root"]).arg(root).args(arguments).output().unwrap()
}

/// Files below `root`, with their texts.
fn files(root: &Path) -> Vec<(String, String)> {
    let output = Command::new("find").arg(root).args(["-type", "f"]).output().unwrap();
    let paths = String::from_utf8(output.stdout).unwrap();
    let mut all: Vec<_> = paths.lines().map(|path| (path.to_owned(), fs::read_to_string(path).unwrap())).collect();
    all.sort();
    all
}

#[test]
fn a_stack_that_does_not_take_it_is_told_with_the_mend_and_nothing_is_written() {
    let good = server("200 OK|").0;
    for (answer, flag, wanted) in [
        ("404 Not Found|OTLP write receiver needs to be enabled", "--prometheus", "--web.enable-otlp-receiver"),
        ("404 Not Found|404 page not found", "--loki", "from version 3 on"),
        ("401 Unauthorized|who are you", "--loki", "--token-file"),
        ("401 Unauthorized|no org id", "--loki", "X-Scope-OrgID"),
        ("403 Forbidden|", "--prometheus", "--token-file"),
        ("302 Found\r\nlocation: /login|", "--loki", "points to /login"),
        ("200 OK|<!doctype html><title>Log in</title>", "--prometheus", "takes no OTLP"),
        ("503 Service Unavailable|not ready", "--prometheus", "not ready"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let other = if flag == "--loki" { "--prometheus" } else { "--loki" };
        let output = setup(dir.path(), &[flag, &server(answer).0, other, &good]);
        let words = told(&output);
        assert_eq!(output.status.code(), Some(1), "{answer}: {words}");
        assert!(words.contains(wanted) && words.contains("nothing was written"), "{answer}: {words}");
        assert_eq!(files(dir.path()), [], "{answer}");
    }
    let dir = tempfile::tempdir().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = format!("http://{closed}");
    let output = setup(dir.path(), &["--prometheus", &address]);
    assert!(output.status.code() == Some(1) && told(&output).contains("connection refused"), "{}", told(&output));
    let output = setup(dir.path(), &["--prometheus", &address, "--untested"]);
    assert!(output.status.success() && files(dir.path()).len() == 1, "{}", told(&output));
}

#[test]
fn what_is_written_is_what_was_tried_and_keeps_what_stood_there() {
    let dir = tempfile::tempdir().unwrap();
    let (etc, token) = (dir.path().join("etc/plimsoll"), dir.path().join("token"));
    fs::create_dir_all(&etc).unwrap();
    fs::write(etc.join("plimsoll.yaml"), "service: shop # ours\ndestinations: {} # none yet\n").unwrap();
    fs::write(&token, "s3cret\n").unwrap();
    let token = token.to_str().unwrap();
    let (prometheus, asked) = server("200 OK|");
    let (loki, lines) = server("422 Unprocessable Entity|error at least one valid stream is required for ingestion");
    let arguments = ["--prometheus", &prometheus, "--loki", &loki, "--token-file", token];
    let dry = setup(dir.path(), &[arguments.as_slice(), &["--dry-run"]].concat());
    assert!(dry.status.success() && told(&dry).contains("would write"), "{}", told(&dry));
    assert_eq!(files(&etc).len(), 1, "a dry run writes nothing");
    let output = setup(dir.path(), &arguments);
    assert!(output.status.success(), "{}", told(&output));
    for (seen, path) in [(asked, "POST /api/v1/otlp/v1/metrics "), (lines, "POST /otlp/v1/logs ")] {
        let head = seen.recv().unwrap();
        assert!(head.starts_with(path) && head.contains("Bearer s3cret"), "{head}");
    }
    let config = fs::read_to_string(etc.join("plimsoll.yaml")).unwrap();
    assert!(config.starts_with("service: shop # ours\n") && config.contains("# none yet"), "{config}");
    assert_eq!(config.matches("{ credential: stack }").count(), 2, "{config}");
    assert_eq!(fs::read_to_string(etc.join("credentials/stack")).unwrap(), "s3cret\n");
    let before = files(dir.path());
    let again = setup(dir.path(), &["--prometheus", &prometheus, "--loki", &loki]);
    assert!(again.status.success() && told(&again).contains("nothing changed"), "{}", told(&again));
    assert_eq!(files(dir.path()), before);

    fs::write(etc.join("plimsoll.yaml"), "service: shop\nhots: off\n").unwrap();
    let refused = setup(dir.path(), &["--prometheus", &prometheus]);
    let words = told(&refused);
    assert!(
        refused.status.code() == Some(1) && words.contains("plimsoll.yaml:2:1") && words.contains("`host`"),
        "{words}"
    );
    for misuse in [
        vec!["--prometheus", "prometheus:9090"],
        vec!["--loki", "http://me:pw@loki:3100"],
        vec![],
        vec!["--loki", &loki, "--username", "me"],
    ] {
        assert_eq!(setup(dir.path(), &misuse).status.code(), Some(2), "{misuse:?}");
    }
}

#[test]
fn who_may_not_write_is_told_to_become_root_before_anything_is_tried() {
    let Some((packages, root)) = packages().zip(Root::new("bookworm")) else { return };
    root.copy(&packages.this, "/root/this.deb");
    root.run("dpkg -i /root/this.deb");
    let nobody = "setpriv --reuid=nobody --regid=nogroup --clear-groups plimsoll setup --prometheus http://127.0.0.1:1";
    let refused = root.try_run(nobody);
    let words = told(&refused);
    assert!(refused.status.code() == Some(1) && words.contains("sudo plimsoll setup"), "{words}");
    assert!(!words.contains("127.0.0.1:1"), "{words}");
}
