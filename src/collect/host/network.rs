//! Traffic, errors and drops of each network interface, from `/proc/net/dev`.
//!
//! The host's ends of containers' links (`veth…`) are left out: their names are random, so each new container would
//! be new series, and their bytes are in the bridge's.

use super::context::{Context, numbers};
use super::{CollectError, Group};
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[IO, PACKETS, ERRORS, DROPPED];
const IO: Desc = Desc::counter("system.network.io", "By", "Bytes received and sent by the interface.");
const PACKETS: Desc =
    Desc::counter("system.network.packet.count", "{packet}", "Packets received and sent by the interface.");
const ERRORS: Desc = Desc::counter("system.network.errors", "{error}", "Packets that the interface found broken.");
const DROPPED: Desc = Desc::counter(
    "system.network.packet.dropped",
    "{packet}",
    "Packets that were dropped at the interface without being broken.",
);

pub(super) struct Network;

impl Group for Network {
    fn name(&self) -> &'static str {
        "network"
    }

    fn read(&mut self, context: &mut Context, out: &mut Samples) -> Result<(), CollectError> {
        for interface in context.proc("net/dev")?.lines().filter_map(parse_line) {
            if left_out(&interface) {
                continue;
            }
            for (direction, [bytes, packets, errors, dropped]) in
                [("receive", interface.received), ("transmit", interface.sent)]
            {
                let attributes = [("network.interface.name", interface.name), ("network.io.direction", direction)];
                out.put_with(&IO, &attributes, bytes);
                out.put_with(&PACKETS, &attributes, packets);
                out.put_with(&ERRORS, &attributes, errors);
                out.put_with(&DROPPED, &attributes, dropped);
            }
        }
        Ok(())
    }
}

/// Bytes, packets, errors, drops.
#[derive(Debug, PartialEq, Eq)]
struct Interface<'a> {
    name: &'a str,
    received: [u64; 4],
    sent: [u64; 4],
}

fn left_out(interface: &Interface<'_>) -> bool {
    let unused = interface.received[1] == 0 && interface.sent[1] == 0;
    unused || ["veth", "cali", "lxc"].iter().any(|kind| interface.name.starts_with(kind))
}

/// The name ends at the last colon, since an alias has one in its name; the two head lines have none.
fn parse_line(line: &str) -> Option<Interface<'_>> {
    let (name, rest) = line.rsplit_once(':')?;
    let mut columns = [0; 16];
    for (column, number) in columns.iter_mut().zip(numbers(rest)) {
        *column = number;
    }
    let four = |from: usize| [columns[from], columns[from + 1], columns[from + 2], columns[from + 3]];
    Some(Interface { name: name.trim(), received: four(0), sent: four(8) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_keeps_its_colon_and_numbers_may_touch_the_name() {
        let line = "eth0:1:980734503   57425    1    2    0     0          0         0  4768446   42649    3    4    0     0       0          0";
        let interface = parse_line(line).unwrap();
        assert_eq!(interface.name, "eth0:1");
        assert_eq!((interface.received, interface.sent), ([980_734_503, 57_425, 1, 2], [4_768_446, 42_649, 3, 4]));
        assert_eq!(parse_line("Inter-|   Receive  |  Transmit"), None);
    }

    #[test]
    fn links_of_containers_and_unused_interfaces_are_left_out() {
        assert!(left_out(&Interface { name: "veth12ab", received: [1; 4], sent: [1; 4] }));
        assert!(left_out(&Interface { name: "ifb0", received: [0; 4], sent: [0; 4] }));
        assert!(!left_out(&Interface { name: "eth0", received: [1; 4], sent: [0; 4] }));
    }
}
