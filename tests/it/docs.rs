//! The documents say what the code does.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::{collections::BTreeSet, fs, path::Path};

const MARKER: &str = "<!-- checked: ";

/// Each table of docs/configuration.md names a configuration with an unknown field: the refusal lists all that are known.
#[test]
fn every_key_of_the_configuration_is_documented_and_no_other() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/configuration.md");
    let text = fs::read_to_string(file).unwrap();
    let mut tables = 0;
    for section in text.split(MARKER).skip(1) {
        let (wrong, rest) = section.split_once(" -->").unwrap();
        let table: Vec<&str> =
            rest.lines().skip(1).take_while(|line| line.starts_with('|')).collect();
        let documented: BTreeSet<&str> =
            table.iter().filter_map(|row| row.strip_prefix("| `")?.split('`').next()).collect();
        let refusal = wire::config::parse(wrong.as_bytes()).unwrap_err().to_string();
        let (_, allowed) = refusal.split_once("allowed: ").unwrap();
        let known: BTreeSet<&str> = allowed.split(", ").collect();
        assert_eq!(documented, known, "docs/configuration.md, the table of {wrong}: {refusal}");
        tables += 1;
    }
    assert!(tables > 10, "found {tables} tables only");
}
