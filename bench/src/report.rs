//! A bench's result: a table for people, and the raw figures.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use serde_json::{Value, json};

use crate::machine;

/// The result of a bench.
#[derive(Debug)]
pub(crate) struct Report {
    name: &'static str,
    machine: String,
    parts: Vec<String>,
    raw: Value,
}

/// A Markdown table.
#[derive(Debug)]
pub(crate) struct Table {
    text: String,
}

impl Report {
    /// Begins a report. Call it before the load: it says how busy the machine was.
    pub(crate) fn begin(name: &'static str) -> Self {
        Self { name, machine: machine::line(), parts: Vec::new(), raw: Value::Null }
    }

    /// Adds a paragraph.
    pub(crate) fn say(&mut self, text: impl Into<String>) {
        self.parts.push(text.into());
    }

    /// Adds a table.
    pub(crate) fn show(&mut self, table: Table) {
        self.parts.push(table.text);
    }

    /// Takes the figures behind the tables.
    pub(crate) fn raw(&mut self, raw: Value) {
        self.raw = raw;
    }

    /// Returns the whole as Markdown.
    pub(crate) fn markdown(&self) -> String {
        format!("### {}\n{}\n\n{}", self.name, self.machine, self.parts.join("\n\n"))
    }

    /// Writes the raw figures into `folder`.
    pub(crate) fn save(&self, folder: &Path) -> Result<PathBuf> {
        fs::create_dir_all(folder)?;
        let file = folder.join(format!("{}.json", self.name));
        let raw = json!({"bench": self.name, "machine": self.machine, "figures": self.raw});
        fs::write(&file, format!("{raw:#}\n"))?;
        fs::write(folder.join(format!("{}.md", self.name)), self.markdown())?;
        Ok(file)
    }
}

impl Table {
    /// Returns a table with these columns.
    pub(crate) fn new(columns: &[&str]) -> Self {
        let mut text = format!("| {} |\n|", columns.join(" | "));
        text += &"---|".repeat(columns.len());
        Self { text }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: &[String]) {
        self.text += &format!("\n| {} |", cells.join(" | "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new(&["a", "b"]);
        table.row(&["1".to_owned(), "2".to_owned()]);
        assert_eq!(table.text, "| a | b |\n|---|---|\n| 1 | 2 |");
    }
}
