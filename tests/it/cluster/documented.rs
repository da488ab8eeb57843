//! The commands of the documents, to be run as they stand.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use std::{fs, path::Path};

/// Programs that the pages' commands begin with.
const PROGRAMS: [&str; 4] = ["curl ", "helm ", "kubectl ", "oc "];

/// Returns the commands of a page in their order, each without its line breaks: whatever is indented and begins with a program.
pub(super) fn commands(page: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = fs::read_to_string(root.join("docs").join(page)).unwrap().replace("\\\n", " ");
    let lines = text.lines().filter(|line| line.starts_with("    ")).map(str::trim);
    let lines = lines.filter(|line| PROGRAMS.iter().any(|program| line.starts_with(program)));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// Returns the command of a page that begins so.
///
/// # Panics
/// If the page has none, or several.
pub(super) fn command(page: &str, beginning: &str) -> String {
    let mut found = commands(page);
    found.retain(|line| line.starts_with(beginning));
    let [one] = found.as_slice() else { panic!("docs/{page} has {found:?} for {beginning:?}") };
    one.clone()
}
