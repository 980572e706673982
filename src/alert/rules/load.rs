//! Which rule files hold: the shipped ones, and those of the box, which replace shipped ones of the same name.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Group, Warning, expand, parse};
use crate::base::yaml::{self, Errors};

/// Where the package puts the shipped rules.
pub const SHIPPED: &str = "/usr/share/plimsoll/alerts";

/// Rules over several boxes, for the stack's ruler: no box can answer them.
pub const FLEET: &str = "fleet.yaml";

/// The rules that hold, and what is wrong with those that do not.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Groups to evaluate, in the order of file and place.
    pub groups: Vec<Group>,
    /// Groups for the stack's ruler; never evaluated here.
    pub fleet: Vec<Group>,
    /// What is odd and no reason to stop.
    pub warnings: Vec<Warning>,
    /// Files that were left out; a check and a reload refuse because of them. Where a shipped file of the same name is
    /// there, it holds instead.
    pub errors: Vec<Errors>,
}

/// Reads the rules in `shipped` and those that `configured` names by path or glob.
pub fn load(shipped: &Path, configured: &[PathBuf]) -> Loaded {
    let mut out = Loaded::default();
    let mut files: BTreeMap<OsString, Vec<PathBuf>> = BTreeMap::new();
    for path in expand(&shipped.join("*.yaml")).unwrap_or_default() {
        files.entry(path.file_name().unwrap_or_default().to_owned()).or_default().push(path);
    }
    let mut named: Vec<PathBuf> = Vec::new();
    for pattern in configured {
        match expand(pattern) {
            Ok(paths) => named.extend(paths.into_iter().filter(|path| !path.is_dir())),
            Err(error) => {
                out.errors.push(Errors::whole(pattern, &format!("no path or glob: {error}"), "such as *.yaml"));
            }
        }
    }
    named.sort();
    named.dedup();
    let mut alternatives: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    let mut chosen: Vec<PathBuf> = Vec::new();
    for path in named {
        if let Some(shipped) = files.remove(path.file_name().unwrap_or_default()).and_then(|mut paths| paths.pop()) {
            alternatives.insert(path.clone(), shipped);
        }
        chosen.push(path);
    }
    chosen.extend(files.into_values().flatten());
    chosen.sort_by(|a, b| (a.file_name(), a).cmp(&(b.file_name(), b)));
    for path in chosen {
        let failed = take(&path, &mut out);
        if let (true, Some(shipped)) = (failed, alternatives.get(&path)) {
            take(shipped, &mut out);
        }
    }
    out
}

/// Reads one file into `out`; true: it was left out.
fn take(path: &Path, out: &mut Loaded) -> bool {
    match read(path) {
        Ok((groups, warnings)) => {
            let fleet = path.file_name().is_some_and(|name| name == FLEET);
            if fleet {
                out.fleet.extend(groups)
            } else {
                out.groups.extend(groups)
            }
            out.warnings.extend(warnings);
            false
        }
        Err(errors) => {
            out.errors.push(errors);
            true
        }
    }
}

/// Reads one rule file.
///
/// # Errors
/// It is not there, or all that is wrong in it.
pub fn read(path: &Path) -> Result<(Vec<Group>, Vec<Warning>), Errors> {
    let text = yaml::read(path)?;
    let text = text.ok_or_else(|| Errors::whole(path, "there is no such file", "name a rule file that is there"))?;
    parse(path, &text)
}
