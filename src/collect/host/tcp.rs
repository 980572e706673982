//! TCP and UDP: connections by state, retransmissions, full listen queues, lost datagrams.
//!
//! Totals from `/proc/net/{snmp,netstat,sockstat}`. The states come from the kernel's socket diagnosis (`tcp/diag.rs`),
//! which needs no right and no text; where it is not to be had, from `/proc/net/tcp{,6}`, line by line. Both cost time
//! for each socket, so `Budget` leaves out rounds on a host with very many. Connections in TIME_WAIT, the
//! usual mass, are counted by the kernel already.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Instant;

use super::budget::Budget;
use super::context::{Context, fault, optional};
use super::{CollectError, Group};
use crate::signal::metrics::{Desc, Samples};

mod diag;

pub(super) const METRICS: &[Desc] =
    &[CONNECTIONS, SEGMENTS, RETRANSMITS, RESETS, LISTEN_OVERFLOWS, LISTEN_DROPS, UDP_ERRORS];
const CONNECTIONS: Desc =
    Desc::updown("system.network.connection.count", "{connection}", "TCP connections of the host by state.");
const SEGMENTS: Desc = Desc::counter("system.network.tcp.segments", "{segment}", "TCP segments by direction.");
const RETRANSMITS: Desc =
    Desc::counter("system.network.tcp.retransmits", "{segment}", "TCP segments that were sent again.");
const RESETS: Desc =
    Desc::counter("system.network.tcp.resets", "{connection}", "Established TCP connections that were reset.");
const LISTEN_OVERFLOWS: Desc = Desc::counter(
    "system.network.tcp.listen.overflows",
    "{connection}",
    "Connections turned away because a program did not accept them fast enough.",
);
const LISTEN_DROPS: Desc = Desc::counter(
    "system.network.tcp.listen.drops",
    "{connection}",
    "Connections turned away at a listening socket for any reason, overflows among them.",
);
const UDP_ERRORS: Desc = Desc::counter(
    "system.network.udp.buffer_errors",
    "{packet}",
    "Datagrams lost because a socket's buffer was full, by direction.",
);

/// The conventions' names; place = the kernel's number of the state.
const STATES: [&str; 12] = [
    "",
    "established",
    "syn_sent",
    "syn_received",
    "fin_wait_1",
    "fin_wait_2",
    "time_wait",
    "closed",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
];
const TIME_WAIT: usize = 6;
/// `TCP_NEW_SYN_RECV`, a detail of the kernel.
const NEW_SYN_RECEIVED: usize = 12;

/// Sockets by state.
type Counts = [u64; 13];

#[derive(Default)]
pub(super) struct Tcp {
    budget: Budget,
    diag: diag::Diag,
}

impl Group for Tcp {
    fn name(&self) -> &'static str {
        "tcp"
    }

    fn read(&mut self, context: &mut Context, out: &mut Samples) -> Result<(), CollectError> {
        let totals = put_totals(context, out)?;
        let begun = Instant::now();
        if self.budget.due(begun) {
            let Some(mut counts) = optional(self.states(context))? else {
                return if totals { Ok(()) } else { Err(CollectError::NoData("no TCP".into())) };
            };
            self.budget.spent(begun, begun.elapsed());
            if let Some(waiting) = optional(context.proc("net/sockstat"))?.and_then(time_wait) {
                counts[TIME_WAIT] = waiting;
            }
            counts[3] += counts[NEW_SYN_RECEIVED];
            for (state, count) in STATES.iter().zip(counts).skip(1) {
                let attributes = [("network.transport", "tcp"), ("network.connection.state", state)];
                out.put_with(&CONNECTIONS, &attributes, count);
            }
        }
        Ok(())
    }
}

impl Tcp {
    fn states(&mut self, context: &Context) -> Result<Counts, CollectError> {
        if context.live()
            && let Some(counts) = self.diag.count()
        {
            return Ok(counts);
        }
        let mut counts = Counts::default();
        Self::count_file(&context.roots.proc.join("net/tcp"), &mut counts)?;
        // A kernel may be without IPv6.
        optional(Self::count_file(&context.roots.proc.join("net/tcp6"), &mut counts))?;
        Ok(counts)
    }

    fn count_file(path: &Path, counts: &mut Counts) -> Result<(), CollectError> {
        let read = File::open(path).and_then(|file| count_lines(BufReader::with_capacity(64 << 10, file), counts));
        read.map_err(|error| fault(path, &error))
    }
}

/// Lines of `/proc/net/tcp` that are counted: 75 MB of text.
const MAX_LINES: usize = 500_000;

/// The state is the fourth column, as a hexadecimal number. A line without one (the head) is passed over.
fn count_lines(mut text: impl BufRead, counts: &mut Counts) -> std::io::Result<()> {
    let mut line = Vec::with_capacity(256);
    for _ in 0..MAX_LINES {
        line.clear();
        if text.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let word = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).nth(3);
        let state =
            word.and_then(|word| std::str::from_utf8(word).ok()).and_then(|word| usize::from_str_radix(word, 16).ok());
        if let Some(count) = state.and_then(|state| counts.get_mut(state)) {
            *count += 1;
        }
    }
    Ok(())
}

/// True if there were some.
fn put_totals(context: &mut Context, out: &mut Samples) -> Result<bool, CollectError> {
    let before = out.samples().len();
    if let Some(text) = optional(context.proc("net/snmp"))? {
        let get = |table, name| table_value(text, table, name);
        for (direction, name) in [("receive", "InSegs"), ("transmit", "OutSegs")] {
            if let Some(count) = get("Tcp:", name) {
                out.put_with(&SEGMENTS, &[("network.io.direction", direction)], count);
            }
        }
        for (desc, name) in [(&RETRANSMITS, "RetransSegs"), (&RESETS, "EstabResets")] {
            if let Some(count) = get("Tcp:", name) {
                out.put(desc, count);
            }
        }
        for (direction, name) in [("receive", "RcvbufErrors"), ("transmit", "SndbufErrors")] {
            if let Some(count) = get("Udp:", name) {
                out.put_with(&UDP_ERRORS, &[("network.io.direction", direction)], count);
            }
        }
    }
    if let Some(text) = optional(context.proc("net/netstat"))? {
        for (desc, name) in [(&LISTEN_OVERFLOWS, "ListenOverflows"), (&LISTEN_DROPS, "ListenDrops")] {
            if let Some(count) = table_value(text, "TcpExt:", name) {
                out.put(desc, count);
            }
        }
    }
    Ok(out.samples().len() > before)
}

/// A number of a table that is two lines, names and values; the columns differ from kernel to kernel.
fn table_value(text: &str, table: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(table));
    let (names, values) = (lines.next()?, lines.next()?);
    let at = names.split_ascii_whitespace().position(|known| known == name)?;
    values.split_ascii_whitespace().nth(at)?.parse().ok()
}

/// `TCP: inuse 2 orphan 0 tw 1 alloc 2 mem 81`, of IPv4 and IPv6.
fn time_wait(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = line.split_ascii_whitespace().skip_while(|word| *word != "tw");
    words.nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_the_name_of_its_column() {
        let text = "Tcp: RtoAlgorithm MaxConn RetransSegs\nTcp: 1 -1 3\nUdp: InDatagrams\nUdp: 112\n";
        assert_eq!(table_value(text, "Tcp:", "RetransSegs"), Some(3));
        assert_eq!(table_value(text, "Tcp:", "MaxConn"), None, "-1 is no count");
        assert_eq!(table_value(text, "Tcp:", "Missing"), None);
        assert_eq!(table_value("Tcp: RetransSegs\n", "Tcp:", "RetransSegs"), None);
    }

    #[test]
    fn states_are_counted_line_by_line_and_broken_lines_are_passed_over() {
        let text = "  sl  local_address rem_address   st tx_queue\n   0: 0:07E8 0:0 0A 00\n   1: 0:1 0:2 06 0\n\
            2: 0:1 0:2 08 0\n3: 0:1 0:2 ZZ 0\n4: 0:1 0:2 FF 0\n5:\n   6: 0:07E8 0:0 0A";
        let mut counts = Counts::default();
        count_lines(text.as_bytes(), &mut counts).unwrap();
        assert_eq!((counts[10], counts[6], counts[8], counts.iter().sum::<u64>()), (2, 1, 1, 4));
    }

    #[test]
    fn time_wait_is_read_from_its_word() {
        assert_eq!(time_wait("sockets: used 18\nTCP: inuse 2 orphan 0 tw 17 alloc 2 mem 81\n"), Some(17));
        assert_eq!(time_wait("TCP: inuse 2"), None);
    }
}
