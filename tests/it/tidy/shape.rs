//! Shape of every crate of the workspace: modules in layers, one meaning for a name, short files, comments that stand by
//! themselves.

use std::fs;

use super::{crates::crates, root, sizes::too_long};

fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "{} found:\n{}", found.len(), found.join("\n"));
}

#[test]
fn no_file_and_no_function_is_too_long() {
    let files = crates().into_iter().flat_map(|found| found.files());
    let of_file = |file: String| too_long(&file, &fs::read_to_string(root().join(&file)).unwrap());
    assert_none(&files.flat_map(of_file).collect::<Vec<_>>());
}
