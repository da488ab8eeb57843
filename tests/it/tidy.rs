//! The rules that no compiler checks.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "of a language's items and of JSON's values few kinds matter to a rule"
)]

// The workspace's crates, each by itself.
mod crates;
mod shape;

// Rules for their sources: how modules, types, files and comments are.
mod circles;
mod comments;
mod names;
mod sizes;

// What those rules read.
mod graph;
mod paths;
mod source;

// The filter and Envoy's configuration.
mod bootstraps;
mod cells;
mod host;

// What makes a release.
mod workflows;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

#[test]
fn every_path_that_the_architecture_names_exists() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut named = 0;
    for path in text.split('`').skip(1).step_by(2).filter(|code| is_path(code)) {
        named += 1;
        assert!(root().join(path).exists(), "ARCHITECTURE.md names {path}, which does not exist");
    }
    assert!(named > 0, "ARCHITECTURE.md names no path at all");
}

#[test]
fn no_path_of_a_machine_is_written_down() {
    let paths = machine_paths();
    for file in tracked() {
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        for path in &paths {
            assert!(!text.contains(path), "{} names the machine's {path}", file.display());
        }
    }
    let module = fs::read(wasm()).unwrap();
    for path in paths {
        let found = module.windows(path.len()).any(|window| window == path.as_bytes());
        assert!(!found, "the .wasm names the machine's {path}");
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn wasm() -> PathBuf {
    let wasm = root().join("dist/llm-picker.wasm");
    assert!(wasm.exists(), "{} is missing: run ./build.sh first", wasm.display());
    wasm
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// The project's own files: neither what is built nor what git keeps.
fn tracked() -> Vec<PathBuf> {
    let ours = |path: &PathBuf| {
        !["target", "dist", ".git"].iter().any(|built| *path == root().join(built))
    };
    let top = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()).filter(ours);
    top.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Beginnings of paths that exist on one machine only: where this project and the user's home are, and where they mostly
/// are. In pieces, so that this file holds none.
fn machine_paths() -> Vec<String> {
    let home = env::var("HOME").unwrap_or_default();
    let here = [format!("{}/", root().display()), format!("{home}/")];
    let usual = ["home", "Users", "root"].map(|folder| format!("/{folder}/"));
    here.into_iter().chain(usual).filter(|path| path.len() > 1).collect()
}

/// `folder/`, `folder/file.rs` or `file.md`: not a command, not a URL, not a name with a gap in it.
fn is_path(code: &str) -> bool {
    let plain = code.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let file =
        [".rs", ".md", ".sh", ".toml", ".yaml", ".json"].iter().any(|end| code.ends_with(end));
    plain && !code.starts_with('/') && (code.ends_with('/') || file)
}
