//! The table of operations in docs/apis.md is the list in the code.

use std::fmt::Write as _;

use wire::{
    body::Api,
    operation::{Class, Methods, OPERATIONS, Operation},
};

use super::read;

const BEGIN: &str = "<!-- the list of operations -->\n";
const END: &str = "<!-- its end -->\n";

/// What becomes of an operation: its treatment, and what is hashed, charged and rewritten.
fn cells(operation: &Operation) -> [String; 4] {
    let by_path = operation.path().contains("{model}");
    let rewritten = |body: &str| if by_path { "path" } else { body }.to_owned();
    let none = || "-".to_owned();
    match operation.class {
        Class::Read(Api::Other) => {
            ["by load".to_owned(), none(), "output".to_owned(), rewritten("`model`")]
        }
        Class::Read(api) if api.computes() => [
            "by prompt".to_owned(),
            api.hashed().split(", ").map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
            "prompt, output".to_owned(),
            rewritten("`model`"),
        ],
        Class::Read(_) => ["by load".to_owned(), none(), "output".to_owned(), rewritten("`model`")],
        Class::Upgraded => ["at its headers".to_owned(), none(), none(), none()],
        Class::Direct | Class::Named => ["at once".to_owned(), none(), none(), rewritten("-")],
        Class::Refused => ["403".to_owned(), none(), none(), none()],
    }
}

fn table() -> String {
    let mut table = "| method | path ends with | engines and interfaces | goes | hashed | charged \
                     | rewritten |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    for operation in OPERATIONS {
        let method = match operation.methods {
            Methods::Post => "POST",
            Methods::Get => "GET",
            Methods::Change => "POST, PUT, DELETE",
            Methods::Any => "any",
        };
        let path = operation.path();
        let engines = operation.engines;
        let cells = cells(operation).join(" | ");
        let _ = writeln!(table, "| {method} | `{path}` | {engines} | {cells} |");
    }
    table
}

#[test]
fn every_operation_is_in_the_table_and_no_other() {
    let text = read("docs/apis.md");
    let (_, rest) = text.split_once(BEGIN).unwrap();
    let (found, _) = rest.split_once(END).unwrap();
    let table = table();
    assert_eq!(found, table, "docs/apis.md should have this table:\n{table}");
}
