//! Which mounts are file systems of the host, from the text of `/proc/<pid>/mountinfo`.

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// `major:minor`: the same for each mount of one file system.
    pub(super) device_id: String,
    /// The folder in the file system that is mounted.
    pub(super) root: String,
    pub(super) point: String,
    pub(super) kind: String,
    pub(super) source: String,
    pub(super) read_only: bool,
}

/// Mounts that are told, at most.
const MAX_MOUNTS: usize = 64;

/// File systems that hold no data of the host, or are always full (images).
const PSEUDO: &[&str] = &[
    "autofs",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "erofs",
    "fuse.gvfsd-fuse",
    "fuse.lxcfs",
    "fuse.portal",
    "fuse.snapfuse",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "rootfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tracefs",
    "udf",
];

/// Places of mounts that belong to the system or to containers, not to the host's data.
const PLACES: &[&str] = &[
    "/dev",
    "/proc",
    "/run",
    "/snap",
    "/sys",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/docker",
    "/var/lib/kubelet",
    "/var/snap",
];

/// All mounts in the kernel's order. `ours_is_true`: the options of the mount itself count; else only those of the
/// file system do, for a service that protects itself sees everything read-only.
pub(super) fn parse(text: &str, ours_is_true: bool) -> Vec<Mount> {
    text.lines().filter_map(|line| parse_line(line, ours_is_true)).collect()
}

/// `man 5 proc_pid_mountinfo`: `27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard`.
fn parse_line(line: &str, ours_is_true: bool) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(2);
    let (device_id, root, point, options) = (left.next()?, left.next()?, left.next()?, left.next()?);
    let mut right = right.split(' ');
    let (kind, source, whole) = (right.next()?, right.next()?, right.next().unwrap_or(""));
    let read_only = |options: &str| options.split(',').any(|option| option == "ro");
    Some(Mount {
        device_id: device_id.to_owned(),
        root: unescape(root),
        point: unescape(point),
        kind: kind.to_owned(),
        source: unescape(source),
        read_only: read_only(whole) || (ours_is_true && read_only(options)),
    })
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code.filter(u8::is_ascii) {
            Some(byte) => {
                out.push(char::from(byte));
                rest = &rest[at + 4..];
            }
            None => {
                out.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// One mount per file system, sorted by place, bounded.
pub(super) fn choose(mounts: Vec<Mount>) -> Vec<Mount> {
    let mut chosen: Vec<Mount> = Vec::new();
    for mount in mounts {
        // A later mount at the same place hides the earlier one, whatever it is.
        chosen.retain(|known| known.point != mount.point);
        chosen.push(mount);
    }
    chosen.retain(is_data);
    // The whole file system before a folder of it, then the shortest place.
    chosen.sort_by(|a, b| (&a.root != "/", a.point.len(), &a.point).cmp(&(&b.root != "/", b.point.len(), &b.point)));
    let mut seen: Vec<String> = Vec::new();
    chosen.retain(|mount| {
        // Each subvolume of btrfs has its own number, but they share the device's space.
        let id = if mount.kind == "btrfs" { &mount.source } else { &mount.device_id };
        let new = !seen.contains(id);
        if new {
            seen.push(id.clone());
        }
        new
    });
    chosen.truncate(MAX_MOUNTS);
    chosen.sort_by(|a, b| a.point.cmp(&b.point));
    chosen
}

fn is_data(mount: &Mount) -> bool {
    // The root may be an overlay (a container, a live system): then that is what can run full.
    if mount.point == "/" {
        return mount.kind != "rootfs";
    }
    // A tmpfs of which a folder is mounted is a cover over something, such as systemd's over `/home`.
    let cover = mount.kind == "tmpfs" && mount.root != "/";
    !cover && !PSEUDO.contains(&mount.kind.as_str()) && !PLACES.iter().any(|place| below(&mount.point, place))
}

fn below(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(text: &str) -> Vec<String> {
        choose(parse(text, true)).into_iter().map(|mount| mount.point).collect()
    }

    #[test]
    fn a_place_with_spaces_and_a_backslash_is_read_as_it_is() {
        let line = r"36 35 98:0 / /mnt/my\040disk\134a rw shared:1 master:2 - ext3 /dev/x\040y rw,errors=continue";
        let mount = parse_line(line, true).unwrap();
        assert_eq!((mount.point.as_str(), mount.source.as_str()), (r"/mnt/my disk\a", "/dev/x y"));
        assert_eq!(unescape(r"end\04"), r"end\04");
        assert_eq!(unescape("\\é\\040"), "\\é ");
    }

    #[test]
    fn repeats_of_a_file_system_and_pseudo_ones_are_left_out() {
        let text = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:1 /srv /srv/bind rw - ext4 /dev/sda1 rw\n\
            3 1 0:5 / /proc rw - proc proc rw\n4 1 7:0 / /snap/core/1 ro - squashfs /dev/loop0 ro\n\
            5 1 8:2 / /data rw - xfs /dev/sdb1 rw\n6 1 0:9 / /run/user/0 rw - tmpfs tmpfs rw\n\
            7 1 0:40 /a /home rw - btrfs /dev/sdc rw\n8 1 0:41 /b /var rw - btrfs /dev/sdc rw\n\
            9 1 0:50 / /tmp rw - tmpfs tmpfs rw\n10 1 0:51 / /running rw - tmpfs tmpfs rw\n";
        assert_eq!(points(text), ["/", "/data", "/running", "/tmp", "/var"]);
    }

    #[test]
    fn a_mount_under_another_one_is_not_told() {
        let text = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /home rw - ext4 /dev/sda2 rw\n\
            3 1 0:22 /systemd/inaccessible/dir /home ro - tmpfs tmpfs rw,mode=755\n";
        assert_eq!(points(text), ["/"]);
    }

    #[test]
    fn a_service_that_sees_all_read_only_tells_the_file_systems_own_mode() {
        let line = "1 0 8:1 / / ro - ext4 /dev/sda1 rw";
        assert!(parse_line(line, true).unwrap().read_only);
        assert!(!parse_line(line, false).unwrap().read_only);
        assert!(parse_line("1 0 8:1 / / rw - ext4 /dev/sda1 ro,errors=remount-ro", false).unwrap().read_only);
    }

    #[test]
    fn thousands_of_mounts_are_bounded() {
        let text: String = (0..5000).map(|n| format!("{n} 1 9:{n} / /m/{n} rw - ext4 /dev/m{n} rw\n")).collect();
        assert_eq!(points(&text).len(), MAX_MOUNTS);
    }

    proptest::proptest! {
        #[test]
        fn no_line_breaks_the_reader(line in ".{0,200}") {
            let _ = parse_line(&line, true);
            let _ = unescape(&line);
        }
    }
}
