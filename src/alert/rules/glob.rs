//! The files that a path with `*`, `?`, `[…]` or `{…}` in it means.

use std::path::{Component, Path, PathBuf};

use globset::GlobBuilder;

/// More rule files than this are a mistake in the pattern.
const MAX_FILES: usize = 1000;

/// The files that `pattern` matches, sorted; a `*` crosses no `/`. A path without such characters is itself, whether
/// it is there or not.
///
/// # Errors
/// The pattern is none.
pub fn expand(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let text = part.as_os_str().to_string_lossy();
        if !matches!(part, Component::Normal(_)) || !text.contains(['*', '?', '[', '{']) {
            for path in &mut found {
                path.push(part);
            }
            continue;
        }
        let glob = GlobBuilder::new(&text).literal_separator(true).build();
        let glob = glob.map_err(|error| format!("{}: {}", pattern.display(), error.kind()))?.compile_matcher();
        let mut next = Vec::new();
        for folder in &found {
            let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            let entries = std::fs::read_dir(here).into_iter().flatten().flatten();
            let hidden = |name: &str| name.starts_with('.') && !text.starts_with('.');
            let names = entries.map(|entry| entry.file_name());
            let fits = names.filter(|name| glob.is_match(name) && !hidden(&name.to_string_lossy()));
            next.extend(fits.take(MAX_FILES).map(|name| folder.join(name)));
        }
        found = next;
    }
    if pattern.to_string_lossy().contains(['*', '?', '[', '{']) {
        found.retain(|path| path.exists());
    }
    found.sort();
    found.truncate(MAX_FILES);
    Ok(found)
}
