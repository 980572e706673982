//! Names of systemd units and of groups of processes: bounded, printable, and not new with each restart.

/// The unit that a cgroup's path lies in, or `None` where the path says nothing that lasts: login sessions, users'
/// managers, transient units. Containers keep twelve digits of their number, as their tools print it.
pub(super) fn unit(path: &str) -> Option<String> {
    let mut before = "";
    for part in path.split('/') {
        if is_unit(part) {
            return (!is_transient(part)).then(|| short(part));
        }
        // Containers that a runtime puts there itself: /docker/<64 digits>.
        if hexadecimal(part) >= 64 && !before.is_empty() {
            return Some(short(&format!("{before}-{part}")));
        }
        before = part;
    }
    None
}

/// True for the folder of a service or of a scope.
pub(super) fn is_unit(name: &str) -> bool {
    name.ends_with(".service") || name.ends_with(".scope")
}

/// Units whose names are used once.
pub(super) fn is_transient(name: &str) -> bool {
    let numbered = |prefix: &str| {
        let rest = name.strip_prefix(prefix).and_then(|rest| rest.split('.').next());
        rest.is_some_and(|rest| !rest.is_empty() && hexadecimal(rest.trim_start_matches(['u', 'p', 'r', 'i', '-'])) > 0)
    };
    ["session-", "user@", "user-runtime-dir@", "run-"].iter().any(|prefix| numbered(prefix)) || name == "init.scope"
}

/// Printable, with long runs of hexadecimal digits cut to twelve.
pub(super) fn short(name: &str) -> String {
    let mut out = String::with_capacity(name.len().min(MAX_NAME));
    let mut rest = name;
    while let Some(first) = rest.chars().next().filter(|_| out.len() < MAX_NAME) {
        let digits = hexadecimal(rest);
        let (taken, kept) = if digits >= 32 { (digits, 12) } else { (first.len_utf8(), first.len_utf8()) };
        if first.is_control() {
            out.push('?');
        } else {
            out.push_str(&rest[..kept]);
        }
        rest = &rest[taken..];
    }
    out
}

const MAX_NAME: usize = 128;

/// Hexadecimal digits at the beginning.
fn hexadecimal(text: &str) -> usize {
    text.bytes().take_while(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_found_wherever_it_lies_and_its_own_folders_do_not_count() {
        let name = |path| unit(path);
        assert_eq!(name("/system.slice/nginx.service").as_deref(), Some("nginx.service"));
        assert_eq!(
            name("/system.slice/system-postgresql.slice/postgresql@17-main.service").as_deref(),
            Some("postgresql@17-main.service")
        );
        assert_eq!(name("/system.slice/app.service/worker.scope").as_deref(), Some("app.service"));
        assert_eq!(name("/"), None);
    }

    #[test]
    fn what_is_used_once_has_no_unit() {
        for path in [
            "/user.slice/user-1000.slice/session-3.scope",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/x.service",
            "/system.slice/run-u12.service",
            "/system.slice/run-r0123456789abcdef.scope",
            "/init.scope",
        ] {
            assert_eq!(unit(path), None, "{path}");
        }
        assert_eq!(unit("/system.slice/run-backup.service").as_deref(), None);
        assert_eq!(unit("/system.slice/runner.service").as_deref(), Some("runner.service"));
    }

    #[test]
    fn a_container_keeps_twelve_digits_of_its_number() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(unit(&format!("/system.slice/docker-{id}.scope")).as_deref(), Some("docker-0123456789ab.scope"));
        assert_eq!(unit(&format!("/docker/{id}")).as_deref(), Some("docker-0123456789ab"));
    }

    #[test]
    fn names_are_printable_and_bounded() {
        assert_eq!(short("a\nb\u{1b}[0m é"), "a?b?[0m é");
        assert!(short(&"xé".repeat(500)).len() <= MAX_NAME + 2);
    }
}
