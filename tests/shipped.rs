//! What is shipped with the program says what the program does: the example config equals the defaults, the rules ask
//! for what there is.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so and ends")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use plimsoll::base::units::Size;
use plimsoll::base::yaml::Errors;
use plimsoll::config::{Config, parse};
use plimsoll::export::config::Otlp;
use plimsoll::tail::config::{File, Journald, Multiline};

#[path = "support/catalogue.rs"]
mod catalogue;
#[path = "shipped/rules.rs"]
mod rules;

const EXAMPLE: &str = include_str!("../packaging/plimsoll.example.yaml");

/// The paragraphs of the example config: whether it is an example only, and its settings without the leading `#`.
fn paragraphs() -> Vec<(bool, String)> {
    let settings = |paragraph: &str| -> String {
        let lines = paragraph.lines().filter(|line| !line.starts_with("##"));
        lines.map(|line| format!("{}\n", line.strip_prefix('#').unwrap_or(line))).collect()
    };
    EXAMPLE.split("\n\n").map(|paragraph| (paragraph.starts_with("## Example"), settings(paragraph))).collect()
}

fn read(text: &str) -> Result<Config, Errors> {
    parse(Path::new("plimsoll.example.yaml"), text)
}

#[test]
fn the_example_config_is_all_comments_and_so_changes_nothing() {
    assert!(EXAMPLE.lines().all(|line| line.is_empty() || line.starts_with('#')));
    assert_eq!(read(EXAMPLE).unwrap(), Config::default());
}

#[test]
fn the_example_config_with_its_defaults_taken_in_is_the_default_config() {
    let defaults: String = paragraphs().into_iter().filter(|(example, _)| !example).map(|(_, text)| text).collect();
    assert!(defaults.contains("fsync: 1s"), "{defaults}");
    assert_eq!(read(&defaults).unwrap_or_else(|errors| panic!("{errors}")), Config::default());
}

#[test]
fn each_example_of_the_example_config_is_right_but_for_secrets_and_files_that_are_not_here() {
    let examples: Vec<String> =
        paragraphs().into_iter().filter(|(example, _)| *example).map(|(_, text)| text).collect();
    assert!(examples.len() >= 4);
    for text in examples {
        let Err(errors) = read(&text) else { continue };
        for problem in &errors.problems {
            let elsewhere = ["No such file", "$CREDENTIALS_DIRECTORY is not set", "Permission denied"];
            assert!(elsewhere.iter().any(|words| problem.message.contains(words)), "{errors}");
        }
    }
}

#[test]
fn the_examples_show_the_defaults_of_entries_where_there_are_any() {
    let logs = paragraphs().into_iter().find(|(example, text)| *example && text.starts_with("logs:")).unwrap().1;
    let config = read(&logs).unwrap_or_else(|errors| panic!("{errors}"));
    let logs = config.logs.on().unwrap();
    let (file, default) = (&logs.files[0], File::default());
    assert_eq!((file.format, file.start, file.max_line), (default.format, default.start, default.max_line));
    let multiline = file.multiline.clone().unwrap();
    assert_eq!(multiline, Multiline { start: multiline.start.clone(), ..Multiline::default() });
    let journal = logs.journald.as_ref().and_then(|journal| journal.on()).unwrap();
    assert_eq!(*journal, Journald { units: journal.units.clone(), ..Journald::default() });
    assert_eq!(default.max_line, Size(256 << 10));

    let text = "destinations: { loki: { otlp_http: { endpoint: 'http://loki:3100/otlp', compression: auto, timeout: 30s, \
                when_full: block, signals: [logs, metrics, traces] } } }";
    let config = read(text).unwrap();
    let otlp = config.destinations["loki"].otlp();
    assert_eq!(*otlp, Otlp { endpoint: otlp.endpoint.clone(), ..Otlp::default() });
    for setting in ["compression: auto", "timeout: 30s", "when_full: block", "default: logs, metrics and traces"] {
        assert!(EXAMPLE.contains(setting), "{setting}");
    }
}

#[test]
fn the_example_config_names_every_key_that_this_version_takes() {
    // The config itself tells what is allowed in each place.
    for place in [
        "zzz: 1",
        "host: { zzz: 1 }",
        "logs: { zzz: 1 }",
        "logs: { files: [ { zzz: 1 } ] }",
        "logs: { files: [ { multiline: { zzz: 1 } } ] }",
        "logs: { files: [ { redact: [ zzz ] } ] }",
        "logs: { files: [ { metrics: [ { zzz: 1 } ] } ] }",
        "logs: { files: [ { format: zzz } ] }",
        "logs: { files: [ { start: zzz } ] }",
        "logs: { journald: { zzz: 1 } }",
        "destinations: { a: { zzz: 1 } }",
        "destinations: { a: { otlp_http: { zzz: 1 } } }",
        "destinations: { a: { otlp_http: { compression: zzz } } }",
        "destinations: { a: { otlp_http: { when_full: zzz } } }",
        "destinations: { a: { otlp_http: { signals: [zzz] } } }",
        "destinations: { a: { otlp_http: { tls: { zzz: 1 } } } }",
        "destinations: { a: { otlp_http: { token: { zzz: 1 } } } }",
        "alerts: { zzz: 1 }",
        "alerts: { heartbeat: { zzz: 1 } }",
        "alerts: { notify: { a: { zzz: 1 } } }",
        "alerts: { notify: { a: { alertmanager: { zzz: 1 } } } }",
        "alerts: { notify: { a: { slack: { zzz: 1 } } } }",
        "alerts: { notify: { a: { pagerduty: { zzz: 1 } } } }",
        "alerts: { notify: { a: { webhook: { zzz: 1 } } } }",
        "alerts: { notify: { a: { email: { zzz: 1 } } } }",
        "alerts: { notify: { a: { email: { security: zzz } } } }",
        "store: { zzz: 1 }",
        "store: { metrics: { zzz: 1 } }",
        "store: { logs: { zzz: 1 } }",
        "spool: { zzz: 1 }",
        "listen: { zzz: 1 }",
        "listen: { tls: { zzz: 1 } }",
        "self: { zzz: 1 }",
        "self: { otlp_grpc: { zzz: 1 } }",
    ] {
        let errors = read(place).unwrap_err();
        let (_, allowed) = errors.problems[0].help.split_once("allowed here: ").unwrap_or_else(|| panic!("{errors}"));
        for key in allowed.split(", ") {
            let named =
                EXAMPLE.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')).any(|word| word == key);
            assert!(named, "`{key}` of `{place}` is not in the example config");
        }
    }
}

/// Compares a folder with what it should hold, or fills it with `UPDATE_GOLDEN=1`.
fn holds(folder: &str, wanted: &BTreeMap<String, String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let names = || fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(&folder).unwrap();
        names().for_each(|name| fs::remove_file(folder.join(name)).unwrap());
        wanted.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
    }
    let there: BTreeMap<_, _> =
        names().map(|name| (name.clone(), fs::read_to_string(folder.join(name)).unwrap())).collect();
    let differ: Vec<_> =
        wanted.keys().chain(there.keys()).filter(|name| wanted.get(*name) != there.get(*name)).collect();
    assert!(
        differ.is_empty(),
        "{}: not what the commands say: {differ:?}; UPDATE_GOLDEN=1 cargo test --test shipped writes it anew",
        folder.display()
    );
}

#[test]
fn the_manual_pages_are_those_of_the_commands_and_of_the_example_config() {
    let dir = tempfile::tempdir().unwrap();
    clap_mangen::generate_to(plimsoll::cli::command(), dir.path()).unwrap();
    let mut pages: BTreeMap<String, String> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()))
        .collect();
    assert!(pages.contains_key("plimsoll.1") && pages.contains_key("plimsoll-setup.1"), "{:?}", pages.keys());
    pages.insert("plimsoll.yaml.5".into(), config_page());
    holds("packaging/man", &pages);
}

/// The example config as a manual page.
fn config_page() -> String {
    let lines: String = EXAMPLE
        .lines()
        .map(|line| line.replace('\\', "\\e").replace('-', "\\-"))
        .map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}\n") } else { format!("{line}\n") })
        .collect();
    format!(
        ".TH plimsoll.yaml 5 \"\" \"plimsoll {}\"\n.SH NAME\nplimsoll.yaml \\- the settings of plimsoll(1)\n.SH DESCRIPTION\n\
         The agent reads /etc/plimsoll/plimsoll.yaml. This is every key with its default.\n.PP\n.nf\n{lines}.fi\n.SH SEE ALSO\n\
         plimsoll(1), plimsoll\\-check(1), plimsoll\\-setup(1), plimsoll\\-reload(1)\n",
        env!("CARGO_PKG_VERSION")
    )
}

#[test]
fn the_completions_are_those_of_the_commands() {
    use clap_complete::{Shell, generate};
    let made = |shell: Shell| {
        let mut out = Vec::new();
        generate(shell, &mut plimsoll::cli::command(), "plimsoll", &mut out);
        String::from_utf8(out).unwrap()
    };
    let files = [("plimsoll.bash", Shell::Bash), ("_plimsoll", Shell::Zsh), ("plimsoll.fish", Shell::Fish)];
    holds("packaging/completions", &files.map(|(name, shell)| (name.to_owned(), made(shell))).into());
}

#[test]
fn all_that_lies_in_the_folders_for_the_box_is_in_the_package() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let assets = manifest.split("[package.metadata.deb]").nth(1).unwrap();
    for (folder, end) in [
        ("alerts", "yaml"),
        ("dashboards", "json"),
        ("dashboards/provisioning", "yaml"),
        ("packaging/man", "1"),
        ("packaging/man", "5"),
    ] {
        let is_there = |entry: fs::DirEntry| entry.path().extension().is_some_and(|found| found == end);
        let any =
            fs::read_dir(root.join(folder)).is_ok_and(|mut entries| entries.any(|entry| is_there(entry.unwrap())));
        let line = format!("[\"{folder}/*.{end}\", ");
        assert!(!any || assets.contains(&line), "[package.metadata.deb] assets of Cargo.toml lack {line} …");
    }
}
