//! The real parts of a web system, each a process of its own: nginx, the small application, and those who use it.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::harness::{Process, Site, wait_for};
use super::http;

/// A process with its children: they end with it.
pub(crate) struct Part(Process);

impl Part {
    /// In a group of its own; `wrap` stands before the command, as `Net::enter` gives it.
    pub(crate) fn start(wrap: &[String], words: &[&str], environment: &[(&str, String)], log: &Path) -> Self {
        let all: Vec<&str> = wrap.iter().map(String::as_str).chain(words.iter().copied()).collect();
        let mut command = Command::new(all[0]);
        command.args(&all[1..]).envs(environment.iter().map(|(name, value)| (*name, value.as_str()))).process_group(0);
        Self(Process::start(&mut command, log))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits until it takes connections at `address`.
    pub(crate) fn ready(mut self, address: SocketAddr) -> Self {
        wait_for("a part that takes connections", Duration::from_secs(20), || {
            self.0.check();
            std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).map_err(|error| error.to_string())
        });
        self
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.0.signal_group(Signal::KILL);
    }
}

/// The application of `app.py`: what it does is set by variables that stand at the head of that file.
pub(crate) fn app(wrap: &[String], site: &Site, name: &str, listen: SocketAddr, variables: &[(&str, String)]) -> Part {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stages/app.py");
    let mut environment = vec![("LISTEN", listen.to_string()), ("NAME", name.to_owned())];
    environment.extend(variables.iter().cloned());
    let log = site.path("log").join(format!("{name}.log"));
    Part::start(wrap, &["/usr/bin/python3", script], &environment, &log).ready(listen)
}

/// An nginx that passes requests at `listen` on to `servers`, and writes an access log with times.
pub(crate) fn nginx(wrap: &[String], site: &Site, listen: SocketAddr, servers: &[SocketAddr], more: &str) -> Part {
    let folder = site.path("nginx");
    fs::create_dir_all(&folder).unwrap();
    let mut upstream = String::new();
    for server in servers {
        writeln!(upstream, "server {server} max_fails=0;").unwrap();
    }
    let config = format!(
        "daemon off;\nworker_processes 1;\npid {folder}/pid;\nerror_log {log}/error.log warn;\nevents {{ worker_connections 256; }}\n\
         http {{\nlog_format timed '$remote_addr - - [$time_local] \"$request\" $status $body_bytes_sent \"-\" \
         \"$http_user_agent\" $request_time $upstream_response_time';\naccess_log {log}/access.log timed;\n\
         client_body_temp_path {folder}/a;\nproxy_temp_path {folder}/b;\nfastcgi_temp_path {folder}/c;\n\
         uwsgi_temp_path {folder}/d;\nscgi_temp_path {folder}/e;\n\
         upstream shop {{ {upstream} }}\nserver {{\nlisten {listen};\nproxy_read_timeout 5s;\n{more}\nlocation / {{ proxy_pass http://shop; }}\n}}\n}}\n",
        folder = folder.display(),
        log = site.path("log").display(),
    );
    let file: PathBuf = folder.join("nginx.conf");
    fs::write(&file, config).unwrap();
    let words = ["/usr/sbin/nginx", "-c", file.to_str().unwrap()];
    Part::start(wrap, &words, &[], &folder.join("out")).ready(listen)
}

/// An HAProxy at `listen` before `servers`, whose numbers stand at `/metrics` of the same address; each server takes
/// `most` requests at a time, the rest queues.
pub(crate) fn haproxy(site: &Site, listen: SocketAddr, servers: &[SocketAddr], most: usize) -> Part {
    let mut backend = String::new();
    for (number, server) in (1..).zip(servers) {
        writeln!(backend, "  server app-{number} {server} check inter 1s maxconn {most}").unwrap();
    }
    let config = format!(
        "global\n  log stdout format raw local0\ndefaults\n  mode http\n  log global\n  option httplog\n  \
         timeout connect 2s\n  timeout client 30s\n  timeout server 8s\n  timeout queue 8s\n\
         frontend web\n  bind {listen}\n  http-request use-service prometheus-exporter if {{ path /metrics }}\n  \
         default_backend shop\nbackend shop\n{backend}"
    );
    let file = site.path("haproxy.cfg");
    fs::write(&file, config).unwrap();
    let words = ["/usr/sbin/haproxy", "-db", "-f", file.to_str().unwrap()];
    Part::start(&[], &words, &[], &site.path("log").join("haproxy.log")).ready(listen)
}

/// A pgbouncer before the database `shop` of a Postgres, with so many connections to it for all clients.
pub(crate) fn pgbouncer(site: &Site, port: u16, postgres: u16, connections: usize) -> Part {
    let users = site.path("users");
    fs::write(&users, "\"shop\" \"\"\n\"plimsoll\" \"\"\n").unwrap();
    let config = format!(
        "[databases]\nshop = host=127.0.0.1 port={postgres} dbname=shop user=shop pool_size={connections}\n[pgbouncer]\n\
         listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\n\
         stats_users = plimsoll\npool_mode = transaction\nmax_client_conn = 100\n\
         ignore_startup_parameters = extra_float_digits,options\n",
        users.display()
    );
    let file = site.path("pgbouncer.ini");
    fs::write(&file, config).unwrap();
    let user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"].map(str::to_owned);
    site.open_to_all();
    let words = ["/usr/sbin/pgbouncer", file.to_str().unwrap()];
    Part::start(&user, &words, &[], &site.path("log").join("pgbouncer.log")).ready(([127, 0, 0, 1], port).into())
}

/// The entry of an access log whose requests are counted.
pub(crate) fn access_log(site: &Site, service: &str) -> String {
    let metric = "name: http.server.request.duration, histogram: request_time, unit: s, by: [http.request.method, \
                  http.response.status_code]";
    let more = format!("service: {service}, format: nginx, start: beginning, metrics: [ {{ {metric} }} ]");
    site.entry("access.log", &more)
}

/// Users, who ask for a path over and over until they are dropped.
pub(crate) struct Users {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    served: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

impl Users {
    /// So many at a time, each with a pause after an answer; one waits for it at most ten seconds.
    pub(crate) fn start(count: usize, pause: Duration, address: SocketAddr, path: &'static str) -> Self {
        let (stop, served, failed) = (Arc::new(AtomicBool::new(false)), Arc::default(), Arc::default());
        let threads = (0..count).map(|number| {
            let (stop, served, failed) = (Arc::clone(&stop), Arc::clone(&served), Arc::clone(&failed));
            thread::spawn(move || {
                // Not all at once.
                thread::sleep(pause * number as u32 / count as u32);
                while !stop.load(Ordering::SeqCst) {
                    let counter: &AtomicU64 = match http(address, path, Duration::from_secs(10)) {
                        Ok(status) if status < 500 => &served,
                        _ => &failed,
                    };
                    counter.fetch_add(1, Ordering::SeqCst);
                    thread::sleep(pause);
                }
            })
        });
        let threads = threads.collect();
        Self { stop, threads, served, failed }
    }

    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::SeqCst)
    }

    /// Waits until `more` of their requests were served.
    pub(crate) fn are_served(&self, more: u64, limit: Duration) {
        let from = self.served();
        let began = Instant::now();
        wait_for("users who are served", limit, || {
            let served = self.served() - from;
            if served >= more {
                Ok(())
            } else {
                Err(format!("{served} in {:?}, {} failed", began.elapsed(), self.failed()))
            }
        });
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            assert!(thread.join().is_ok(), "a user fell over");
        }
    }
}
