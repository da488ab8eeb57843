//! The workspace's crates, and which of them knows which.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde_json::Value;

use super::root;

/// Crates that the core may depend on: none of these does I/O, reads a clock or draws a random number.
const CORE_MAY_USE: [&str; 1] = ["hashbrown"];

/// The product's crates and those of them that each may know: arrows go down.
const PRODUCT: [(&str, &[&str]); 5] = [
    ("core", &[]),
    ("memory", &[]),
    ("wire", &["core"]),
    ("filter", &["core", "memory", "wire"]),
    ("scraper", &["core", "wire"]),
];

/// A crate of the workspace.
pub(super) struct Crate {
    /// The folder from the project's root, for example `bench/replay`.
    pub(super) folder: String,
    /// Root files of its library and its programs, from the project's root.
    pub(super) roots: Vec<String>,
    /// Folders of the workspace's crates that it is built with, tests and benches apart.
    pub(super) knows: BTreeSet<String>,
}

impl Crate {
    /// Reads a package of cargo's metadata.
    fn read(package: &Value) -> Self {
        let manifest = from_root(&package["manifest_path"]);
        let folder = manifest.trim_end_matches("/Cargo.toml").to_owned();
        let sources = format!("{folder}/src/");
        let targets = package["targets"].as_array().unwrap().iter();
        let roots = targets.map(|target| from_root(&target["src_path"]));
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let linked = dependencies.filter(|dependency| dependency["kind"].is_null());
        let paths = linked.map(|dependency| &dependency["path"]).filter(|path| !path.is_null());
        Self {
            roots: roots.filter(|file| file.starts_with(&sources)).collect(),
            knows: paths.map(from_root).collect(),
            folder,
        }
    }

    /// The crate's source files from the project's root.
    pub(super) fn files(&self) -> Vec<String> {
        let files = super::files(&root().join(&self.folder).join("src")).into_iter();
        let names = files.map(|file| file.strip_prefix(root()).unwrap().display().to_string());
        let mut names: Vec<String> = names.filter(|name| name.ends_with(".rs")).collect();
        names.sort();
        names
    }
}

/// All crates of the workspace that have sources of their own: all but the tests.
pub(super) fn crates() -> Vec<Crate> {
    let metadata = cargo("metadata --locked --no-deps --format-version 1");
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let found = metadata["packages"].as_array().unwrap().iter().map(Crate::read);
    found.filter(|found| !found.roots.is_empty()).collect()
}

fn from_root(path: &Value) -> String {
    let path = Path::new(path.as_str().unwrap());
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn cargo(arguments: &str) -> String {
    let mut command = Command::new(env!("CARGO"));
    let output = command.args(arguments.split(' ')).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The last column of ARCHITECTURE.md's code map by its first: crates that a crate knows.
fn map() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
    let row = |row: &str| {
        let folder = row.split_once("/` | ")?.0.to_owned();
        let (_, known) = row.rsplit_once(" | ")?;
        let names =
            known.split(", ").map(|name| name.trim_matches('`').trim_end_matches('/').to_owned());
        Some((folder, names.collect()))
    };
    rows.filter_map(row).collect()
}

#[test]
fn the_core_depends_on_nothing_that_does_io() {
    // Cargo prints a tree's packages line by line, the core itself first.
    let tree = cargo(
        "tree --locked -p picker-core --edges normal --prefix none --format {lib} --target wasm32-wasip1",
    );
    let used: BTreeSet<&str> = tree.lines().skip(1).filter(|line| !line.is_empty()).collect();
    let allowed = CORE_MAY_USE.map(|name| name.replace('-', "_"));
    let allowed: BTreeSet<&str> = allowed.iter().map(String::as_str).collect();
    let strangers: Vec<&&str> = used.difference(&allowed).collect();
    assert!(strangers.is_empty(), "core gained {strangers:?}; allowed: {CORE_MAY_USE:?}");
    let stale: Vec<&&str> = allowed.difference(&used).collect();
    assert!(stale.is_empty(), "core no longer uses {stale:?}: take them from CORE_MAY_USE");
}

#[test]
fn arrows_of_the_products_crates_go_down() {
    for (folder, below) in PRODUCT {
        let found = crates().into_iter().find(|found| found.folder == folder).unwrap();
        let below: BTreeSet<String> = below.iter().map(|name| (*name).to_owned()).collect();
        assert!(
            found.knows.is_subset(&below),
            "{folder} knows {:?}; allowed: {below:?}",
            found.knows
        );
    }
}

#[test]
fn crates_know_those_that_the_architecture_says() {
    let map = map();
    let all = crates();
    let folders: BTreeSet<&String> = all.iter().map(|found| &found.folder).collect();
    let last = |folder: &String| folder.rsplit('/').next().unwrap_or(folder).to_owned();
    for found in &all {
        let row = map.get(&found.folder);
        let said =
            row.unwrap_or_else(|| panic!("ARCHITECTURE.md's code map lacks {}", found.folder));
        // Others' words in that column, as "nothing else", name no crate.
        let said: BTreeSet<String> =
            folders.iter().map(|folder| last(folder)).filter(|name| said.contains(name)).collect();
        let known: BTreeSet<String> = found.knows.iter().map(last).collect();
        assert_eq!(known, said, "{} knows the left, ARCHITECTURE.md says the right", found.folder);
    }
}
