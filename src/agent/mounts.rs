//! Which log files lie on the network: a read there may hang for as long as its server is away, so each such mount
//! gets a reading thread of its own. Told by names alone (`/proc/self/mountinfo`, proc(5)); nothing is touched.

use std::path::{Path, PathBuf};

/// Types of file systems that wait for another machine, or for a process that may.
const NETWORK: &[&str] =
    &["nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "9p", "afs", "lustre", "beegfs", "glusterfs"];

/// The mount on the network below which the files of `glob` lie, if they do.
pub(super) fn on_network(mountinfo: &str, glob: &str) -> Option<PathBuf> {
    let wild = glob.find(['*', '?', '[', '{']).unwrap_or(glob.len());
    let folder = Path::new(glob[..wild].rsplit_once('/')?.0);
    let mounts = mountinfo.lines().filter_map(mount);
    let (place, kind) =
        mounts.filter(|(place, _)| folder.starts_with(place)).max_by_key(|(place, _)| place.as_os_str().len())?;
    (NETWORK.contains(&kind) || kind.starts_with("fuse.")).then_some(place)
}

/// Mount point and type of a line: `36 35 98:0 /root /place options - type source options`.
fn mount(line: &str) -> Option<(PathBuf, &str)> {
    let (before, after) = line.split_once(" - ")?;
    let place = before.split(' ').nth(4)?;
    Some((PathBuf::from(unescape(place)), after.split(' ').next()?))
}

/// The kernel writes space, tab, line end and backslash as three octal digits.
fn unescape(place: &str) -> String {
    let mut out = String::with_capacity(place.len());
    let mut rest = place;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        match after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(char::from(byte));
                rest = &after[3..];
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 21 0:45 / /srv/shared\\040logs rw,relatime - nfs4 10.0.0.5:/logs rw,vers=4.2
41 40 254:1 / /srv/shared\\040logs/local rw - xfs /dev/vdb rw
42 21 0:46 / /mnt/ssh rw - fuse.sshfs box:/ rw
broken line
";

    #[test]
    fn the_longest_mount_above_the_fixed_part_of_a_glob_decides() {
        let of = |glob: &str| on_network(MOUNTS, glob);
        assert_eq!(of("/srv/shared logs/*.log"), Some("/srv/shared logs".into()));
        assert_eq!(of("/srv/shared logs/a/**/x.log"), Some("/srv/shared logs".into()));
        assert_eq!(of("/srv/shared logs/local/*.log"), None);
        assert_eq!(of("/srv/shared logs2/*.log"), None, "a name that only begins alike");
        assert_eq!(of("/mnt/ssh/a.log"), Some("/mnt/ssh".into()));
        assert_eq!(of("/var/log/*.log"), None);
        assert_eq!(on_network("", "/var/log/*.log"), None);
    }
}
