//! The commands of the documents, to be run as they stand.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use std::{fs, path::Path};

/// Returns the command of a page that begins so, without its line breaks.
///
/// # Panics
/// If the page has none, or several.
pub(super) fn command(page: &str, beginning: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = fs::read_to_string(root.join("docs").join(page)).unwrap().replace("\\\n", " ");
    let lines = text.lines().filter(|line| line.starts_with("    ")).map(str::trim);
    let found: Vec<_> = lines.filter(|line| line.starts_with(beginning)).collect();
    let [one] = found.as_slice() else { panic!("docs/{page} has {found:?} for {beginning:?}") };
    one.split_whitespace().collect::<Vec<_>>().join(" ")
}
