//! The files that `plimsoll setup` reads and writes, and who may read them.

use std::fs::{File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::base::secret::Secret;
use crate::base::yaml;
use crate::config::DEFAULT_PATH;

/// What systemd and the config call the token.
pub(super) const CREDENTIAL: &str = "stack";
const CREDENTIALS: &str = "/etc/plimsoll/credentials";
const DROP_IN: &str = "/etc/systemd/system/plimsoll.service.d/setup.conf";

/// Where everything lies.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) config: PathBuf,
    /// In front of the paths of the service; empty: this box.
    root: PathBuf,
    /// The config is not the service's.
    apart: bool,
}

/// A file that is to have other content.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) path: PathBuf,
    /// For people, behind the path.
    pub(super) note: &'static str,
    text: String,
    /// Of a file that is new.
    mode: u32,
    /// Of a folder that is new.
    folder_mode: u32,
    /// The mode holds for a file that is there too.
    strict: bool,
}

impl Files {
    pub(super) fn new(config: Option<&Path>, root: Option<&Path>) -> Self {
        let root = root.map(Path::to_owned).unwrap_or_default();
        let path = config.map_or_else(|| below(&root, DEFAULT_PATH), Path::to_owned);
        Self { config: path, root, apart: config.is_some() }
    }

    pub(super) fn credentials(&self) -> PathBuf {
        below(&self.root, CREDENTIALS)
    }

    pub(super) fn drop_in(&self) -> PathBuf {
        below(&self.root, DROP_IN)
    }

    /// Fails before anything is tried where nothing could be written in the end.
    pub(super) fn check_rights(&self) -> Result<(), String> {
        let mut folder = self.config.parent().unwrap_or(Path::new("/"));
        if folder.as_os_str().is_empty() {
            folder = Path::new(".");
        }
        while let (false, Some(parent)) = (folder.exists(), folder.parent()) {
            folder = parent;
        }
        let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        rustix::fs::access(folder, access).map_err(|error| {
            let shown = folder.display();
            if error == rustix::io::Errno::ACCESS && !rustix::process::geteuid().is_root() {
                format!("{shown} may not be written: run it as root, sudo plimsoll setup …")
            } else {
                format!("{shown} cannot be written: {error}")
            }
        })
    }

    /// The text of the config; empty: there is none.
    pub(super) fn config(&self) -> Result<String, String> {
        yaml::read(&self.config).map(Option::unwrap_or_default).map_err(|errors| errors.to_string())
    }

    /// How the config names the token of `given`: as the credential `name`.
    pub(super) fn secret(&self, given: Option<&Path>, name: String) -> Secret {
        match given {
            Some(given) if self.apart => Secret::File(std::path::absolute(given).unwrap_or_else(|_| given.to_owned())),
            _ => Secret::Credential(name),
        }
    }

    /// Whether the credential `name` is there and is not `token`.
    pub(super) fn is_another(&self, name: &str, token: &str) -> bool {
        std::fs::read_to_string(self.credentials().join(name)).is_ok_and(|kept| kept.trim_end() != token)
    }

    /// The drop-in with the credential `name` beside those that earlier runs put into it.
    fn drop_in_with(&self, name: &str) -> String {
        let kept = std::fs::read_to_string(self.drop_in()).unwrap_or_default();
        let line = |name: &str| format!("LoadCredential={name}:{CREDENTIALS}/{name}");
        let mut lines: Vec<String> =
            kept.lines().filter(|known| named(known).is_some_and(|other| other != name)).map(str::to_owned).collect();
        lines.push(line(name));
        lines.sort();
        format!(
            "# Written by plimsoll setup: systemd gives the stack's token to the service alone.\n[Service]\n{}\n",
            lines.join("\n")
        )
    }

    /// What differs from what is there: the secret first, so that the config never names one that is missing.
    pub(super) fn changes(
        &self,
        config: &str,
        token: Option<&str>,
        place: Option<&Secret>,
    ) -> Result<Vec<Change>, String> {
        let mut all = Vec::new();
        if let (Some(token), Some(Secret::Credential(name))) = (token, place) {
            let path = self.credentials().join(name);
            let note = " (root alone may read it)";
            all.push(Change { path, note, text: format!("{token}\n"), mode: 0o600, folder_mode: 0o700, strict: true });
            let text = self.drop_in_with(name);
            let note = " (gives it to the service)";
            all.push(Change { path: self.drop_in(), note, text, mode: 0o644, folder_mode: 0o755, strict: false });
        }
        let (text, path) = (config.to_owned(), self.config.clone());
        all.push(Change { path, note: "", text, mode: 0o640, folder_mode: 0o755, strict: false });
        let mut changed = Vec::new();
        for change in all {
            if change.differs()? {
                changed.push(change);
            }
        }
        Ok(changed)
    }
}

impl Change {
    fn differs(&self) -> Result<bool, String> {
        match std::fs::read(&self.path) {
            Ok(bytes) => {
                let open = self.strict && self.path.metadata().is_ok_and(|meta| meta.mode() & 0o077 != 0);
                Ok(open || bytes != self.text.as_bytes())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(format!("{} cannot be read: {error}", self.path.display())),
        }
    }

    /// Replaces the file as a whole. One that is there keeps its owner and mode; a link keeps pointing at it.
    pub(super) fn write(&self) -> Result<(), String> {
        self.replace().map_err(|error| format!("{} cannot be written: {error}", self.path.display()))
    }

    fn replace(&self) -> std::io::Result<()> {
        let path = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Only the last folder may be closed: others look for their own files below those above it.
        if let Some(above) = folder.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o755).create(above)?;
        }
        std::fs::DirBuilder::new().recursive(true).mode(self.folder_mode).create(folder)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let new = folder.join(format!(".{name}.new-{}", std::process::id()));
        let done = self.fill(&new, &path).and_then(|()| std::fs::rename(&new, &path));
        if done.is_err() {
            // The first error counts.
            let _left = std::fs::remove_file(&new).is_err();
        }
        done?;
        File::open(folder)?.sync_all()
    }

    fn fill(&self, new: &Path, old: &Path) -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
        file.write_all(self.text.as_bytes())?;
        let mut mode = self.mode;
        if let Ok(meta) = old.metadata() {
            fchown(&file, Some(meta.uid()), Some(meta.gid()))?;
            mode = if self.strict { self.mode } else { meta.mode() & 0o7777 };
        } else if let Some(group) = self.group(old) {
            fchown(&file, None, Some(group))?;
        }
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()
    }

    /// Of a new config of the service: the service's, which must be able to read it.
    fn group(&self, path: &Path) -> Option<u32> {
        if self.mode != 0o640 || !super::is_the_service(path) {
            return None;
        }
        let groups = std::fs::read_to_string("/etc/group").ok()?;
        let line = groups.lines().find_map(|line| line.strip_prefix("plimsoll:"))?;
        line.split(':').nth(1)?.parse().ok()
    }
}

fn below(root: &Path, path: &str) -> PathBuf {
    if root.as_os_str().is_empty() { path.into() } else { root.join(path.trim_start_matches('/')) }
}

/// The credential that a line of a drop-in names.
fn named(line: &str) -> Option<&str> {
    line.strip_prefix("LoadCredential=")?.split(':').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(files: &Files, config: &str) -> Vec<Change> {
        files.changes(config, Some("s3cret"), Some(&Secret::Credential(CREDENTIAL.into()))).unwrap()
    }

    #[test]
    fn a_token_is_for_root_alone_and_the_config_keeps_its_owner_and_mode() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(None, Some(dir.path()));
        files.check_rights().unwrap();
        let etc = dir.path().join("etc/plimsoll");
        std::fs::create_dir_all(&etc).unwrap();
        std::fs::write(etc.join("plimsoll.yaml"), "# ours\n").unwrap();
        std::fs::set_permissions(etc.join("plimsoll.yaml"), Permissions::from_mode(0o604)).unwrap();
        let mode = |path: &str| dir.path().join(path).metadata().unwrap().mode() & 0o7777;
        let all = changes(&files, "service: shop\n");
        assert_eq!(all.len(), 3);
        all.iter().try_for_each(Change::write).unwrap();
        assert_eq!((mode("etc/plimsoll/credentials"), mode("etc/plimsoll/credentials/stack")), (0o700, 0o600));
        assert_eq!(mode("etc/plimsoll/plimsoll.yaml"), 0o604);
        let drop_in = std::fs::read_to_string(files.drop_in()).unwrap();
        assert!(drop_in.ends_with("[Service]\nLoadCredential=stack:/etc/plimsoll/credentials/stack\n"), "{drop_in}");
        assert!(changes(&files, "service: shop\n").is_empty(), "the same again is no change");
        std::fs::set_permissions(etc.join("credentials/stack"), Permissions::from_mode(0o644)).unwrap();
        let open = changes(&files, "service: shop\n");
        assert_eq!(open.len(), 1, "a token that others may read is written anew");
        open[0].write().unwrap();
        assert_eq!(mode("etc/plimsoll/credentials/stack"), 0o600);
        assert_eq!(std::fs::read_dir(&etc).unwrap().count(), 2, "nothing else is left there");
    }

    #[test]
    fn each_token_has_its_line_in_the_drop_in_once() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(None, Some(dir.path()));
        for (name, token) in [("stack", "a"), ("stack-loki", "b"), ("stack", "c")] {
            let place = Secret::Credential(name.into());
            files.changes("", Some(token), Some(&place)).unwrap().iter().try_for_each(Change::write).unwrap();
        }
        let drop_in = std::fs::read_to_string(files.drop_in()).unwrap();
        assert!(
            drop_in.ends_with(
                "[Service]\nLoadCredential=stack-loki:/etc/plimsoll/credentials/stack-loki\n\
             LoadCredential=stack:/etc/plimsoll/credentials/stack\n"
            ),
            "{drop_in}"
        );
        assert!(files.is_another("stack", "a") && !files.is_another("stack", "c") && !files.is_another("none", "c"));
    }

    #[test]
    fn folders_that_are_made_are_open_down_to_the_one_of_the_token() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(None, Some(dir.path()));
        changes(&files, "service: shop\n").iter().try_for_each(Change::write).unwrap();
        let mode = |path: &str| dir.path().join(path).metadata().unwrap().mode() & 0o7777;
        for path in ["etc", "etc/plimsoll", "etc/systemd"] {
            assert_eq!(mode(path) & 0o055, 0o055, "{path} is closed to the service");
        }
        assert_eq!(mode("etc/plimsoll/credentials"), 0o700);
    }

    #[test]
    fn a_config_behind_a_link_is_replaced_where_it_lies() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real.yaml"), dir.path().join("link.yaml"));
        std::fs::write(&real, "a\n").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let files = Files::new(Some(&link), None);
        files.changes("b\n", None, None).unwrap()[0].write().unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_to_string(&real).unwrap(), "b\n");
        assert!(
            matches!(files.secret(Some(Path::new("/t")), CREDENTIAL.into()), Secret::File(path) if path == Path::new("/t"))
        );
    }
}
