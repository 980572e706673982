//! What the host is: the resource attributes of its telemetry, from sysinfo.
//!
//! sysinfo is used here, for it knows many systems' release files, and as the oracle in tests. The rounds read
//! `/proc` themselves: sysinfo reads several files of each process where one is enough, a dozen of each network
//! interface, and its `statvfs` hangs with a dead NFS mount.

use sysinfo::System;

/// OpenTelemetry's `host.*` and `os.*` attributes; what is not known is left out.
pub fn resource_attributes() -> Vec<(&'static str, String)> {
    let found = [
        ("host.name", System::host_name().ok()),
        ("host.arch", Some(arch(std::env::consts::ARCH).to_owned())),
        ("os.type", Some(std::env::consts::OS.to_owned())),
        ("os.name", System::name().ok()),
        ("os.version", System::os_version().ok()),
        ("os.description", System::long_os_version().ok()),
    ];
    found.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?))).collect()
}

/// The conventions' name of an architecture.
fn arch(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "arm32",
        "powerpc64" => "ppc64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linux_host_has_a_name_and_the_conventions_architecture() {
        let attributes = resource_attributes();
        let value = |name| attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        assert_eq!(value("os.type"), Some("linux"));
        let recorded = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(value("host.name"), Some(recorded.trim()));
        assert_eq!((arch("aarch64"), arch("riscv64")), ("arm64", "riscv64"));
    }
}
