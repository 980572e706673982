//! Installation, upgrade, downgrade, removal, purge, and all of it again, in systems that are not booted.

use std::collections::BTreeSet;

use crate::build::packages;
use crate::root::{RELEASES, Root, told};

/// A root with the three packages in `/root`.
fn root(release: &str) -> Option<Root> {
    let packages = packages()?;
    let root = Root::new(release)?;
    root.copy(&packages.old, "/root/old.deb");
    root.copy(&packages.this, "/root/this.deb");
    root.copy(&packages.next, "/root/next.deb");
    Some(root)
}

fn is_enabled(root: &Root) -> bool {
    root.at("/etc/systemd/system/multi-user.target.wants/plimsoll.service").is_symlink()
}

fn without<'a>(files: &'a BTreeSet<String>, parts: &[&str]) -> BTreeSet<&'a str> {
    files.iter().map(String::as_str).filter(|line| !parts.iter().any(|part| line.contains(part))).collect()
}

#[test]
fn an_installation_makes_the_user_the_config_and_the_service_and_a_second_one_changes_nothing() {
    for release in RELEASES {
        let Some(root) = root(release) else { return };
        root.run("dpkg -i /root/this.deb");
        let user = root.run("getent passwd plimsoll");
        assert!(user.contains(":/var/lib/plimsoll:") && user.ends_with("nologin"), "{release}: {user}");
        let groups = root.run("id -nG plimsoll");
        let groups: Vec<&str> = groups.split(' ').collect();
        assert!(groups.contains(&"adm"), "{release}: {groups:?}");
        let journal = root.try_run("getent group systemd-journal").status.success();
        assert_eq!(groups.contains(&"systemd-journal"), journal, "{release}: {groups:?}");
        assert!(journal || release == "sid", "{release} has no systemd");
        assert_eq!(root.run("stat -c '%a %U %G' /etc/plimsoll/plimsoll.yaml"), "640 root plimsoll");
        assert!(root.read("/etc/plimsoll/plimsoll.yaml").lines().all(|line| line.starts_with('#')));
        assert_eq!(root.run("ls /etc/plimsoll/alerts"), "");
        assert!(is_enabled(&root), "{release}");
        assert_eq!(root.run("plimsoll --version"), format!("plimsoll {}", env!("CARGO_PKG_VERSION")));
        assert_eq!(root.run("dpkg --verify plimsoll"), "", "{release}");
        let config = root.run("setpriv --reuid=plimsoll --regid=plimsoll --init-groups plimsoll check");
        assert!(config.contains("/etc/plimsoll/plimsoll.yaml: fine"), "{config}");

        let files = root.files();
        root.run("/var/lib/dpkg/info/plimsoll.postinst configure ''");
        root.run("/var/lib/dpkg/info/plimsoll.postinst configure 0.0.9-1");
        root.run("/var/lib/dpkg/info/plimsoll.postinst abort-upgrade 99.0.0-1");
        root.run("dpkg -i /root/this.deb");
        let groups_file = ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"];
        assert_eq!(without(&root.files(), &groups_file), without(&files, &groups_file), "{release}");
    }
}

#[test]
fn an_upgrade_and_a_downgrade_keep_state_and_what_administrators_did() {
    for release in RELEASES {
        let Some(root) = root(release) else { return };
        root.run("dpkg -i /root/old.deb");
        root.run(
            "echo 'service: shop # ours' >>/etc/plimsoll/plimsoll.yaml
             chmod 0600 /etc/plimsoll/plimsoll.yaml
             echo 'groups: []' >/etc/plimsoll/alerts/own.yaml
             gpasswd --delete plimsoll adm
             rm /etc/systemd/system/multi-user.target.wants/plimsoll.service
             install -d -o plimsoll -g plimsoll -m 0750 /var/lib/plimsoll /var/lib/plimsoll/spool
             echo kept >/var/lib/plimsoll/spool/segment",
        );
        for (package, version) in
            [("this", concat!(env!("CARGO_PKG_VERSION"), "-1")), ("next", "99.0.0-1"), ("old", "0.0.9-1")]
        {
            root.run(&format!("dpkg -i /root/{package}.deb"));
            assert_eq!(
                root.run("dpkg-query -W -f '${Version} ${Status}' plimsoll"),
                format!("{version} install ok installed")
            );
            assert!(
                root.read("/etc/plimsoll/plimsoll.yaml").ends_with("service: shop # ours\n"),
                "{release} {package}"
            );
            assert_eq!(root.run("stat -c %a /etc/plimsoll/plimsoll.yaml"), "600", "{release} {package}");
            assert_eq!(root.read("/etc/plimsoll/alerts/own.yaml"), "groups: []\n");
            assert_eq!(root.read("/var/lib/plimsoll/spool/segment"), "kept\n");
            assert!(!root.run("id -nG plimsoll").contains("adm"), "{release} {package}: a right came back");
            assert!(!is_enabled(&root), "{release} {package}: a service that was disabled came back");
        }
    }
}

#[test]
fn a_removal_keeps_config_and_state_and_a_purge_leaves_the_user_only() {
    for release in RELEASES {
        let Some(root) = root(release) else { return };
        let before = root.files();
        root.run("dpkg -i /root/this.deb");
        root.run(
            "install -d -o plimsoll -g plimsoll -m 0750 /var/lib/plimsoll /var/cache/plimsoll
             echo x >/var/lib/plimsoll/spool
             printf s3cret >/root/token
             plimsoll setup --untested --prometheus http://127.0.0.1:1 --loki http://127.0.0.1:1 --token-file /root/token",
        );
        assert_eq!(root.run("stat -c '%a %U' /etc/plimsoll/credentials/stack"), "600 root");
        root.run("dpkg -r plimsoll");
        for (path, stays) in [
            ("/usr/bin/plimsoll", false),
            ("/usr/lib/systemd/system/plimsoll.service", false),
            ("/usr/share/plimsoll", false),
            ("/etc/plimsoll/plimsoll.yaml", true),
            ("/etc/plimsoll/credentials/stack", true),
            ("/var/lib/plimsoll/spool", true),
        ] {
            assert_eq!(root.at(path).exists(), stays, "{release}: {path}");
        }
        root.run("dpkg -i /root/this.deb");
        assert!(is_enabled(&root), "{release}: enabled again");
        assert!(root.read("/etc/plimsoll/plimsoll.yaml").contains("http://127.0.0.1:1/otlp"), "{release}");
        root.run("dpkg -P plimsoll");
        let after = root.files();
        // Backups that the tools for users make.
        let left: Vec<_> =
            after.difference(&before).filter(|line| !line.split(' ').next().unwrap().ends_with('-')).collect();
        assert!(left.is_empty(), "{release}: left {left:#?}");
        let gone: Vec<_> = before.difference(&after).collect();
        assert!(gone.is_empty(), "{release}: gone {gone:#?}");
        assert!(root.run("getent passwd plimsoll").contains("/var/lib/plimsoll"), "{release}");
        assert_eq!(root.run("dpkg-query -W -f '${Status}' plimsoll 2>/dev/null || true"), "", "{release}");

        // Again, for the user that is there, and purged after somebody has removed things by hand.
        root.run("dpkg -i /root/this.deb");
        assert_eq!(root.run("stat -c '%a %U %G' /etc/plimsoll/plimsoll.yaml"), "640 root plimsoll", "{release}");
        root.run("rm -rf /etc/plimsoll /var/lib/plimsoll");
        let purged = root.try_run("dpkg -P plimsoll");
        assert!(purged.status.success(), "{release}: {}", told(&purged));
    }
}
