//! What the tests against real servers share: free ports, processes that end with their test, HTTP, and the agent.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// The servers' binary `name`, or `None` where the tests against them are left out on purpose. A missing one fails.
pub(crate) fn binary(name: &str) -> Option<PathBuf> {
    if std::env::var_os("PLIMSOLL_NO_STACK").is_some() {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        // Past the capture of the test harness: nobody may take this for a test that passed.
        let left_out = format!("LEFT OUT (PLIMSOLL_NO_STACK): {test}: nothing was tried against a real {name}\n");
        io::stderr().write_all(left_out.as_bytes()).unwrap();
        return None;
    }
    let cache = || {
        let cache = std::env::var_os("PLIMSOLL_CACHE").map(PathBuf::from);
        cache.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/stack")).join("bin")
    };
    let path = std::env::var_os("PLIMSOLL_STACK").map_or_else(cache, PathBuf::from).join(name);
    assert!(
        path.exists(),
        "{} is missing: tests/run makes it, or its script in tests/stack (PLIMSOLL_NO_STACK=1 leaves it out)",
        path.display()
    );
    Some(path)
}

/// A free port below those that the system gives to clients, so that a server can have it again after a restart.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = (std::process::id() % 500) as u16 * 40;
    for _ in 0..1000 {
        let port = 12_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port on 127.0.0.1");
}

/// What `look` finds, asked again and again until `limit` has passed.
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + limit;
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if Instant::now() > end => panic!("after {limit:?} still not: {what}; {seen}"),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// A process that ends with its test.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).spawn();
        Self { child: child.unwrap_or_else(|error| panic!("{command:?}: {error}")), log: log.to_owned() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it printed.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Of SIGSTOP it waits for the effect: a thread that runs goes on until it is looked at.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        if signal == Signal::STOP {
            wait_for("a process that stands", Duration::from_secs(20), || self.stands());
        }
    }

    fn stands(&self) -> Result<(), String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id())).map_err(|error| error.to_string())?;
        let mut stats = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
        let runs = |stat: &String| !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'));
        stats.find(runs).map_or(Ok(()), Err)
    }

    /// To it and all that it started; for a command that has a `process_group(0)` of its own.
    #[allow(dead_code, reason = "only some of the test programs have such servers")]
    pub(crate) fn signal_group(&self, signal: Signal) {
        rustix::process::kill_process_group(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kill -9.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and its end within `limit`.
    pub(crate) fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.end(limit)
    }

    /// Its end within `limit`.
    pub(crate) fn end(&mut self, limit: Duration) -> ExitStatus {
        wait_for("the end of a process after a signal", limit, || {
            self.child.try_wait().unwrap().ok_or_else(|| fs::read_to_string(&self.log).unwrap())
        })
    }

    /// Fails when it has ended by itself.
    pub(crate) fn check(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("ended with {status}: {}", self.log());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill().is_err();
        let _gone = self.child.wait().is_err();
    }
}

/// An answer over HTTP: status and body.
pub(crate) fn http(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    // With version 1.0 the answer comes in one piece and the connection ends with it.
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let bad = || io::Error::new(io::ErrorKind::InvalidData, String::from_utf8_lossy(&answer).into_owned());
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(bad)?;
    let status = std::str::from_utf8(&answer[..end]).ok().and_then(|head| head.split(' ').nth(1)?.parse().ok());
    Ok((status.ok_or_else(bad)?, answer[end + 4..].to_vec()))
}

/// The body of a GET that is answered 200.
pub(crate) fn get(port: u16, path: &str, headers: &[(&str, &str)]) -> Result<String, String> {
    match http(port, "GET", path, headers, b"").map_err(|error| error.to_string())? {
        (200, body) => String::from_utf8(body).map_err(|error| error.to_string()),
        (status, body) => Err(format!("{status}: {}", String::from_utf8_lossy(&body))),
    }
}

/// For a query string.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").unwrap();
        }
    }
    out
}

/// The system's clock, Unix nanoseconds.
pub(crate) fn now() -> u64 {
    plimsoll::base::clock::unix_nanos()
}

pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_str().unwrap().to_owned()
}

/// A box of its own for an agent: log files, config, state, and the port of its page.
pub(crate) struct Site {
    dir: TempDir,
    pub(crate) port: u16,
}

impl Site {
    pub(crate) fn new() -> Self {
        let site = Self { dir: tempfile::tempdir().unwrap(), port: free_port() };
        fs::create_dir(site.path("log")).unwrap();
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Servers of other users read their config in it.
    pub(crate) fn open_to_all(&self) {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(self.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Writes the config: only what `yaml` names is watched.
    pub(crate) fn config(&self, yaml: &str) {
        let head = format!("discover: false\nlisten: {{ http: \"127.0.0.1:{}\" }}\n", self.port);
        // In one step, as a reload may read it at any moment.
        fs::write(self.path("new.yaml"), head + yaml).unwrap();
        fs::rename(self.path("new.yaml"), self.path("plimsoll.yaml")).unwrap();
    }

    /// Appends to the log file `name`.
    pub(crate) fn log(&self, name: &str, text: &str) {
        let mut file = File::options().create(true).append(true).open(self.path("log").join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// An entry of `logs.files` for the log file `name`.
    pub(crate) fn entry(&self, name: &str, more: &str) -> String {
        format!("    - {{ path: {}/{name}, {more} }}\n", self.path("log").display())
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command.args(words).arg("--state").arg(self.state()).env("HOME", self.dir.path());
        command.env_remove("RUNTIME_DIRECTORY").env_remove("STATE_DIRECTORY").env_remove("NOTIFY_SOCKET");
        command
    }

    /// Starts the agent and waits until it answers.
    pub(crate) fn start(&self) -> Process {
        self.start_with(&[])
    }

    /// The same with variables of the environment.
    pub(crate) fn start_with(&self, variables: &[(&str, &str)]) -> Process {
        let mut command = self.command(&["run"]);
        command.envs(variables.iter().copied());
        command.arg("--config").arg(self.path("plimsoll.yaml"));
        let mut agent = Process::start(&mut command, &self.path("agent.log"));
        self.answers(&mut agent);
        agent
    }

    /// The same as a part of another command, which ends by becoming the words that are put behind it.
    pub(crate) fn start_inside(&self, wrap: &[String], variables: &[(&str, &str)]) -> Process {
        let plain = self.command(&["run"]);
        let mut command = Command::new(&wrap[0]);
        command.args(&wrap[1..]).arg(plain.get_program()).args(plain.get_args());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.envs(variables.iter().copied());
        command.arg("--config").arg(self.path("plimsoll.yaml"));
        let mut agent = Process::start(&mut command, &self.path("agent.log"));
        self.answers(&mut agent);
        agent
    }

    /// Starts the agent without a config; an error when another one has the page's port.
    pub(crate) fn try_bare(&self) -> Result<Process, String> {
        let log = self.path("agent.log");
        // What an earlier try said.
        let _none = fs::remove_file(&log).is_err();
        let mut agent = Process::start(&mut self.command(&["run"]), &log);
        wait_for("an agent that answers or ends", Duration::from_secs(20), || match agent.child.try_wait().unwrap() {
            Some(status) => panic!("ended with {status}: {}", agent.log()),
            None => self.status().map(|(_, report)| !report["notes"].to_string().contains(":1876")),
        })
        .then_some(agent)
        .ok_or_else(|| "port 1876 is taken".into())
    }

    fn answers(&self, agent: &mut Process) {
        wait_for("an agent that answers", Duration::from_secs(20), || {
            agent.check();
            self.status().map(|_| ())
        });
    }

    /// `plimsoll WORDS… --state STATE`.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Exit code and report of `plimsoll status --json`.
    pub(crate) fn status(&self) -> Result<(i32, Value), String> {
        let output = self.run(&["status", "--json"]);
        let report = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&output.stderr)))?;
        Ok((output.status.code().unwrap(), report))
    }

    /// The report's entry of the destination `name`: an agent answers before all of it has started.
    pub(crate) fn destination(&self, name: &str) -> Value {
        wait_for(&format!("a destination {name}"), Duration::from_secs(20), || {
            let (_, report) = self.status()?;
            let found = report["destinations"].as_array().unwrap().iter().find(|entry| entry["name"] == name);
            found.cloned().ok_or_else(|| report.to_string())
        })
    }

    /// What the agent's `/metrics` shows: one series a line.
    pub(crate) fn metrics(&self) -> Result<String, String> {
        get(self.port, "/metrics", &[])
    }
}

/// All bytes below `folder`, and what each zstd frame among them unpacks to, as text.
pub(crate) fn unpacked(folder: &Path) -> String {
    let mut out = String::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            out.push_str(&unpacked(&entry.path()));
        } else if kind.is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            out.push_str(&String::from_utf8_lossy(&bytes));
            let starts = bytes.windows(4).enumerate().filter(|(_, four)| *four == [0x28, 0xb5, 0x2f, 0xfd]);
            for (start, _) in starts {
                let mut raw = Vec::new();
                let decoder = zstd::Decoder::with_buffer(&bytes[start..]).unwrap().single_frame();
                // The four bytes may stand anywhere else by chance.
                if decoder.take(64 << 20).read_to_end(&mut raw).is_ok() {
                    out.push_str(&String::from_utf8_lossy(&raw));
                }
            }
        }
    }
    out
}
