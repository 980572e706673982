//! The boards as files, and put into a Grafana that answers as its documentation has it, or not at all.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use serde_json::{Value, json};

use super::*;

#[test]
fn the_boards_are_written_as_files_and_what_is_there_already_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("a/b");
    let said = export(&folder).unwrap();
    assert_eq!(said.lines().filter(|line| line.ends_with(" written")).count(), 9, "{said}");
    for (name, text) in BOARDS {
        assert_eq!(fs::read_to_string(folder.join(format!("{name}.json"))).unwrap(), text);
    }
    fs::write(folder.join("stage-2.json"), "{}").unwrap();
    let said = export(&folder).unwrap();
    assert_eq!(said.lines().filter(|line| line.ends_with(" unchanged")).count(), 8, "{said}");
    assert!(said.contains("stage-2.json replaced"), "{said}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 9, "nothing else is left");
}

#[test]
fn a_folder_that_cannot_be_made_is_told_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let error = format!("{:#}", export(&dir.path().join("file/boards")).unwrap_err());
    assert!(error.contains("cannot make the folder") && error.contains("file/boards"), "{error}");
}

/// A request as the server got it: method and path, the token, the body.
type Asked = (String, Option<String>, String);

/// Answers each request as `answer` says, with a status and a body, and tells what was asked.
fn server(answer: impl Fn(&str, &str) -> (u16, String) + Send + 'static) -> (String, mpsc::Receiver<Asked>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (tell, asked) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = stream;
            while let Some((line, token, body)) = request(&mut stream) {
                let (status, text) = answer(&line, &body);
                let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", text.len());
                if tell.send((line, token, body)).is_err() || stream.write_all((head + &text).as_bytes()).is_err() {
                    return;
                }
            }
        }
    });
    (url, asked)
}

fn request(stream: &mut TcpStream) -> Option<Asked> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let header = |name: &str| {
        let line = head.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}: ")))?;
        line.split_once(": ").map(|(_, value)| value.to_owned())
    };
    let mut body = vec![0; header("content-length").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    let line = head.lines().next()?.trim_end_matches(" HTTP/1.1").to_owned();
    Some((line, header("authorization"), String::from_utf8(body).unwrap()))
}

fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn board(name: &str) -> Value {
    let (_, text) = BOARDS.iter().find(|(known, _)| *known == name).unwrap();
    serde_json::from_str(text).unwrap()
}

/// What a Grafana says of a board that it has: with its own id, version, and what it adds.
fn kept(mut board: Value) -> String {
    board["id"] = 7.into();
    board["version"] = 3.into();
    board["schemaVersion"] = 42.into();
    board["panels"][0]["pluginVersion"] = "13.2.3".into();
    json!({ "meta": { "folderUid": "plimsoll", "provisioned": false }, "dashboard": board }).to_string()
}

#[test]
fn boards_are_put_into_a_folder_and_it_is_said_what_changed() {
    let (url, asked) = server(|line, _| {
        let saved = || json!({ "id": 1, "uid": "x", "status": "success", "version": 1 }).to_string();
        match line {
            "GET /api/folders/plimsoll" => (404, json!({ "message": "folder not found" }).to_string()),
            "POST /api/folders" => (200, json!({ "uid": "plimsoll", "title": "Plimsoll" }).to_string()),
            "GET /api/dashboards/uid/plimsoll-stage-1" => (200, kept(board("stage-1"))),
            "GET /api/dashboards/uid/plimsoll-stage-2" => {
                let mut old = board("stage-2");
                old["panels"][1]["targets"][0]["expr"] = "1".into();
                old["panels"][2]["title"] = "Old".into();
                old["title"] = "Old title".into();
                (200, kept(old))
            }
            line if line.starts_with("GET ") => (404, json!({ "message": "Dashboard not found" }).to_string()),
            _ => (200, saved()),
        }
    });
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("token"), "glsa_abc\n").unwrap();
    let said = block(grafana::install(&url, Some(&dir.path().join("token")))).unwrap();
    assert_eq!(said[0], "overview: new");
    assert_eq!(said[2], "stage-1: unchanged");
    assert_eq!(
        said[3],
        "stage-2: updated (panels changed: Longest query now; new: Waiting for a lock; gone: Old; title, variables, \
         links or annotations)"
    );
    let asked: Vec<Asked> = asked.try_iter().collect();
    assert!(asked.iter().all(|(_, token, _)| token.as_deref() == Some("Bearer glsa_abc")));
    let saved: Vec<Value> = asked
        .iter()
        .filter(|(line, ..)| line == "POST /api/dashboards/db")
        .map(|(_, _, body)| serde_json::from_str(body).unwrap())
        .collect();
    assert_eq!(saved.len(), 8, "all but the one that is unchanged");
    assert_eq!((&saved[0]["dashboard"], &saved[0]["folderUid"]), (&board("overview"), &json!("plimsoll")));
    assert!(saved.iter().all(|wish| wish["overwrite"] == true && wish["dashboard"]["id"].is_null()));
}

#[test]
fn a_folder_that_an_editor_may_not_look_for_is_made_or_was_there() {
    for (looked, made) in [(403, 200), (500, 200), (403, 409), (404, 412)] {
        let (url, asked) = server(move |line, _| match line {
            "GET /api/folders/plimsoll" => (looked, json!({ "message": "Access denied" }).to_string()),
            "POST /api/folders" => (made, json!({ "message": "the folder is there" }).to_string()),
            line if line.starts_with("GET ") => (404, json!({ "message": "Dashboard not found" }).to_string()),
            _ => (200, json!({ "status": "success" }).to_string()),
        });
        let said = block(grafana::install(&url, None)).unwrap();
        assert!(said.len() == 9 && said.iter().all(|board| board.ends_with(": new")), "{looked} {made}: {said:?}");
        assert_eq!(asked.try_iter().filter(|(line, ..)| line == "POST /api/folders").count(), 1);
    }
    let (url, _asked) = server(|_, _| (403, json!({ "message": "Access denied" }).to_string()));
    let error = format!("{:#}", block(grafana::install(&url, None)).unwrap_err());
    assert!(error.contains("cannot make the folder Plimsoll") && error.contains("needs the role Editor"), "{error}");
}

#[test]
fn what_grafana_refuses_is_told_with_its_words_and_the_mend_and_never_with_the_token() {
    for (refused, status, message, mend) in [
        ("GET /api/folders/plimsoll", 401, "Invalid API key", "name a valid token with --token-file"),
        ("GET /api/folders/plimsoll", 302, "", "name the address that it sends you to"),
        ("POST /api/dashboards/db", 403, "Access denied", "needs the role Editor"),
        ("POST /api/dashboards/db", 400, "Cannot save provisioned dashboard", "it comes from files"),
        ("POST /api/dashboards/db", 412, "The dashboard has been changed by someone else", "under another uid"),
        ("POST /api/dashboards/db", 500, "\u{1b}[2Jdatabase is locked", "see the log of Grafana"),
    ] {
        let (url, _asked) = server(move |line, _| match line {
            line if line == refused => (status, json!({ "message": message }).to_string()),
            "GET /api/folders/plimsoll" => (200, "{}".into()),
            _ => (404, "{}".into()),
        });
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("token"), "glsa_secret").unwrap();
        let error = format!("{:#}", block(grafana::install(&url, Some(&dir.path().join("token")))).unwrap_err());
        assert!(error.contains(mend) && error.contains(&status.to_string()), "{error}");
        assert!(error.contains(message.trim_start_matches("\u{1b}[2J")), "{error}");
        assert!(!error.contains("glsa_secret") && !error.contains('\u{1b}'), "{error}");
    }
}

#[test]
fn what_is_no_grafana_or_no_token_is_told_and_bounded() {
    let error = |url: &str, token: Option<&Path>| format!("{:#}", block(grafana::install(url, token)).unwrap_err());
    assert!(error("grafana:3000", None).contains("it begins with https://"));
    assert!(error("http://127.0.0.1:1", None).contains("connection refused"));
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("token"), "two words").unwrap();
    assert!(error("http://127.0.0.1:1", Some(&dir.path().join("token"))).contains("holds no token"));
    assert!(error("http://127.0.0.1:1", Some(&dir.path().join("none"))).contains("none"));
    let (url, _asked) = server(|_, _| (200, "x".repeat(5 << 20)));
    assert!(error(&url, None).contains("more than 4 MiB"));
    let (url, _asked) = server(|line, _| (200, if line.contains("folders") { "{}" } else { "<html>" }.into()));
    assert!(error(&url, None).contains("is this Grafana?"));
}
