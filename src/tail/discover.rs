//! Which files there are: a glob walked folder by folder.
//!
//! The pattern is cut at its slashes, so that only folders that can hold a match are listed, and a fixed part
//! needs no right to list its folder. A link to a folder is followed if its owner is root, ourselves, or the owner
//! of what it leads to: else a user who may write in a watched folder could point us at files of others.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};
use xxhash_rust::xxh3::xxh3_64;

use super::identity::Node;

/// Files that one walk brings at most.
pub const MAX_FILES: usize = 100_000;
/// Folders below each other that are entered.
const MAX_DEPTH: usize = 24;
/// Faults that one walk reports; more would say the same.
const MAX_FAULTS: usize = 16;

/// A glob that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the glob `{glob}`: {reason}")]
pub struct GlobError {
    glob: String,
    reason: String,
}

/// One glob with its exceptions.
#[derive(Debug)]
pub(crate) struct Glob {
    /// Names the glob in positions.
    pub(crate) hash: u64,
    parts: Vec<Part>,
    whole: GlobMatcher,
    exclude_names: GlobSet,
    exclude_paths: GlobSet,
}

/// What stands between two slashes.
#[derive(Debug)]
enum Part {
    Fixed(OsString),
    Wild(GlobMatcher),
    /// `**`, or a brace with a slash in it: everything below, matched as a whole.
    Below,
}

/// What a walk brings.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// Paths that match.
    pub(crate) found: Vec<PathBuf>,
    /// Other paths in the same folders whose inode was asked for: files that were renamed out of the glob.
    pub(crate) strays: Vec<PathBuf>,
    /// Folders in which a match can appear.
    pub(crate) folders: Vec<PathBuf>,
    /// What could not be read.
    pub(crate) faults: Vec<(PathBuf, io::Error)>,
    /// There were more than [`MAX_FILES`].
    pub(crate) too_many: bool,
    /// Names that were looked at.
    pub(crate) listed: u64,
}

/// What a walk heeds beside the glob.
pub(crate) struct Heed<'a> {
    /// Paths that are never read: the agent's own state and log.
    pub(crate) own: &'a [PathBuf],
    /// Inodes that are looked for in the folders of the glob.
    pub(crate) inodes: &'a HashSet<u64>,
}

impl Glob {
    /// `text` is absolute. An exception without a slash is matched with the file's name, else with its path.
    pub(crate) fn new(text: &str, exclude: &[String]) -> Result<Self, GlobError> {
        let fail = |reason: &dyn std::fmt::Display| GlobError { glob: text.to_owned(), reason: reason.to_string() };
        if !text.starts_with('/') {
            return Err(fail(&"it does not start with /"));
        }
        let (mut names, mut paths) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in exclude {
            let set = if pattern.contains('/') { &mut paths } else { &mut names };
            set.add(compile(pattern).map_err(|error| fail(&error))?);
        }
        let mut parts = Vec::new();
        for part in split(text) {
            parts.push(match part {
                "**" => Part::Below,
                part if part.contains('/') => Part::Below,
                part if part.contains(['*', '?', '[', '{', '\\']) => {
                    Part::Wild(compile(part).map_err(|error| fail(&error))?.compile_matcher())
                }
                part => Part::Fixed(part.into()),
            });
        }
        Ok(Self {
            hash: xxh3_64(text.as_bytes()),
            parts,
            whole: compile(text).map_err(|error| fail(&error))?.compile_matcher(),
            exclude_names: names.build().map_err(|error| fail(&error))?,
            exclude_paths: paths.build().map_err(|error| fail(&error))?,
        })
    }

    /// True for a path that this glob reads.
    pub(crate) fn takes(&self, path: &Path) -> bool {
        self.whole.is_match(path)
            && !self.exclude_paths.is_match(path)
            && !path.file_name().is_some_and(|name| self.exclude_names.is_match(Path::new(name)))
    }

    /// Looks which files there are.
    pub(crate) fn walk(&self, heed: &Heed<'_>, out: &mut Walk) {
        Walker { glob: self, heed, out, above: Vec::new() }.enter(Path::new("/"), &self.parts);
    }
}

struct Walker<'a> {
    glob: &'a Glob,
    heed: &'a Heed<'a>,
    out: &'a mut Walk,
    above: Vec<Node>,
}

impl Walker<'_> {
    fn enter(&mut self, folder: &Path, parts: &[Part]) {
        let [part, rest @ ..] = parts else { return };
        match part {
            Part::Fixed(name) if !rest.is_empty() => self.enter(&folder.join(name), rest),
            Part::Fixed(name) => {
                let path = folder.join(name);
                self.out.folders.push(folder.to_owned());
                if !self.heed.inodes.is_empty() {
                    self.list(folder, |walker, entry| walker.stray(entry, &path));
                }
                if self.glob.takes(&path) {
                    self.take(path);
                }
            }
            Part::Wild(name) => {
                if rest.is_empty() {
                    self.out.folders.push(folder.to_owned());
                }
                self.list(folder, |walker, entry| {
                    if !name.is_match(Path::new(&entry.file_name())) {
                        walker.stray(entry, Path::new(""));
                    } else if rest.is_empty() {
                        walker.leaf(entry);
                    } else if walker.leads_to_folder(entry) {
                        walker.enter(&entry.path(), rest);
                    }
                });
            }
            Part::Below => self.below(folder),
        }
    }

    /// All files in `folder` and below that the glob as a whole matches.
    fn below(&mut self, folder: &Path) {
        let Ok(meta) = fs::metadata(folder) else { return };
        let node = Node::of(&meta);
        if self.above.contains(&node) || self.above.len() >= MAX_DEPTH {
            return;
        }
        self.above.push(node);
        self.out.folders.push(folder.to_owned());
        self.list(folder, |walker, entry| {
            if walker.leads_to_folder(entry) {
                walker.below(&entry.path());
            } else if walker.glob.takes(&entry.path()) {
                walker.leaf(entry);
            } else {
                walker.stray(entry, Path::new(""));
            }
        });
        self.above.pop();
    }

    fn list(&mut self, folder: &Path, mut each: impl FnMut(&mut Self, &DirEntry)) {
        if self.is_own(folder) {
            return;
        }
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return self.fault(folder, error),
        };
        for entry in entries {
            self.out.listed += 1;
            match entry {
                Ok(entry) => each(self, &entry),
                Err(error) => return self.fault(folder, error),
            }
            if self.out.too_many {
                return;
            }
        }
    }

    fn leaf(&mut self, entry: &DirEntry) {
        let path = entry.path();
        let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !folder && self.glob.takes(&path) {
            self.take(path);
        } else {
            self.stray(entry, Path::new(""));
        }
    }

    fn take(&mut self, path: PathBuf) {
        if self.is_own(&path) {
            return;
        }
        if self.out.found.len() >= MAX_FILES {
            self.out.too_many = true;
            return;
        }
        self.out.found.push(path);
    }

    fn stray(&mut self, entry: &DirEntry, but: &Path) {
        if self.heed.inodes.contains(&entry.ino()) && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let path = entry.path();
            if path != but && !self.is_own(&path) {
                self.out.strays.push(path);
            }
        }
    }

    fn leads_to_folder(&self, entry: &DirEntry) -> bool {
        let Ok(kind) = entry.file_type() else { return false };
        if !kind.is_symlink() {
            return kind.is_dir();
        }
        let path = entry.path();
        match (fs::symlink_metadata(&path), fs::metadata(&path)) {
            (Ok(link), Ok(target)) => target.is_dir() && may_follow(&link, &target),
            _ => false,
        }
    }

    fn is_own(&self, path: &Path) -> bool {
        self.heed.own.iter().any(|own| path.starts_with(own))
    }

    fn fault(&mut self, path: &Path, error: io::Error) {
        if error.kind() != io::ErrorKind::NotFound && self.out.faults.len() < MAX_FAULTS {
            self.out.faults.push((path.to_owned(), error));
        }
    }
}

/// True when the one who made `link` gains nothing by it.
pub(crate) fn may_follow(link: &Metadata, target: &Metadata) -> bool {
    link.uid() == 0 || link.uid() == target.uid() || link.uid() == rustix::process::geteuid().as_raw()
}

/// A path as text for people and records: what is not UTF-8 or a control character is escaped.
pub(crate) fn label(path: &Path) -> String {
    let mut out = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                letter if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') => {
                    out.extend(letter.escape_default());
                }
                letter => out.push(letter),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// Hash that names a path in positions.
pub(crate) fn path_hash(path: &OsStr) -> u64 {
    xxh3_64(path.as_bytes())
}

fn compile(pattern: &str) -> Result<globset::Glob, globset::Error> {
    GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build()
}

/// The parts between the slashes; one inside braces does not divide.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut from, mut depth) = (Vec::new(), 0, 0usize);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b'/' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(glob: &str, exclude: &[&str]) -> Vec<String> {
        let exclude: Vec<String> = exclude.iter().map(|&text| text.to_owned()).collect();
        let mut walk = Walk::default();
        let heed = Heed { own: &[], inodes: &HashSet::new() };
        Glob::new(glob, &exclude).unwrap().walk(&heed, &mut walk);
        let mut names: Vec<_> = walk.found.iter().map(|path| label(path)).collect();
        names.sort();
        names
    }

    fn tree(paths: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for path in paths {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x\n").unwrap();
        }
        folder
    }

    #[test]
    fn wild_folders_deep_folders_braces_and_exceptions_bring_what_they_say() {
        let folder = tree(&["shop/log/a.json", "shop/log/a.json.gz", "web/log/b.json", "web/other/c.json", "top.json"]);
        let at = |glob: &str| format!("{}/{glob}", folder.path().display());
        let all = |names: &[&str]| names.iter().map(|name| at(name)).collect::<Vec<_>>();
        assert_eq!(found(&at("*/log/*.json"), &[]), all(&["shop/log/a.json", "web/log/b.json"]));
        assert_eq!(
            found(&at("**/*.json"), &[]),
            all(&["shop/log/a.json", "top.json", "web/log/b.json", "web/other/c.json"])
        );
        assert_eq!(found(&at("{shop/log,web/other}/*.json"), &[]), all(&["shop/log/a.json", "web/other/c.json"]));
        assert_eq!(found(&at("shop/log/*"), &["*.gz"]), all(&["shop/log/a.json"]));
        assert_eq!(found(&at("**/*.json"), &[&at("web/**")]), all(&["shop/log/a.json", "top.json"]));
        assert_eq!(found(&at("top.json"), &[]), all(&["top.json"]));
    }

    #[test]
    fn a_folder_that_links_back_to_one_above_ends_the_walk_there() {
        let folder = tree(&["a/x.log"]);
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/again")).unwrap();
        assert_eq!(found(&format!("{}/**/*.log", folder.path().display()), &[]).len(), 1);
    }

    #[test]
    fn odd_names_are_shown_escaped() {
        let path = Path::new(OsStr::from_bytes(b"/log/a\nb\xff\xe2\x80\xa8.log"));
        assert_eq!(label(path), "/log/a\\nb\\xff\\u{2028}.log");
    }
}
