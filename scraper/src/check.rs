//! `check`: all that is wrong with a configuration, before Envoy or a scraper sees it.
//!
//! The plugin's configuration is read by the plugin's own reader, and the scraper's by the scraper's, so
//! that what passes here is taken there.

mod find;

use std::fmt::Write as _;

use wire::config::{ConfigDocument, Noted, PluginConfig, RefusedConfig, ScraperPace};

use crate::config;
use find::{Checked, Subject};

/// Text that is to be checked.
#[derive(Clone, Debug)]
pub struct CheckedFile {
    /// Name by which lines name it.
    pub name: String,
    /// Contents of the file.
    pub text: String,
}

/// Result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Every fault, warning and note on a line of its own, and a line for each file.
    pub text: String,
    /// Number of faults.
    pub faults: usize,
}

/// Checks files: an EndpointPickerConfig or the plugin's configuration, as YAML or JSON, also within a
/// WasmPlugin, an EnvoyFilter, a ConfigMap, an LLMInferenceService or the chart's values, and the
/// scraper's settings.
#[must_use]
pub fn check(files: &[CheckedFile]) -> CheckReport {
    let read: Vec<_> = files.iter().map(|file| (file, find::subjects(&file.text))).collect();
    let pace = read.iter().flat_map(|(_, subjects)| subjects).find_map(pace).unwrap_or_default();
    let mut report = CheckReport::default();
    for (file, subjects) in read {
        report.file(&file.name, subjects, pace);
    }
    report
}

/// Returns the pace of a scraper's settings.
fn pace(subject: &Subject) -> Option<ScraperPace> {
    let Ok(Checked { document, is_scraper: true, .. }) = subject else { return None };
    let settings = document.gathered(config::read).read.ok()?;
    let default = ScraperPace::default();
    Some(ScraperPace {
        interval: settings.interval.unwrap_or(default.interval),
        idle_interval: settings.idle_interval.unwrap_or(default.idle_interval),
    })
}

/// Lines of one file.
#[derive(Default)]
struct FileLines {
    faults: Vec<String>,
    warnings: Vec<String>,
    notes: Vec<String>,
    /// Names of the parts that were checked.
    parts: Vec<String>,
}

impl CheckReport {
    fn file(&mut self, name: &str, subjects: Vec<Subject>, pace: ScraperPace) {
        let mut lines = FileLines::default();
        for subject in subjects {
            match subject {
                Ok(checked) => lines.check(&checked, pace),
                Err(unreadable) => lines.faults.push(unreadable.to_string()),
            }
        }
        if lines.parts.is_empty() && lines.faults.is_empty() {
            lines.faults.push(find::NOTHING.to_owned());
        }
        let FileLines { faults, warnings, notes, parts } = lines;
        for line in faults.iter().chain(&warnings).chain(&notes) {
            let _ = writeln!(self.text, "{name}:{line}");
        }
        let count = |number: usize, word: &str| match number {
            0 => String::new(),
            1 => format!(", 1 {word}"),
            _ => format!(", {number} {word}s"),
        };
        let verdict = match faults.len() {
            0 => format!("good: {}", parts.join(", ")),
            1 => "refused: 1 fault".to_owned(),
            more => format!("refused: {more} faults"),
        };
        let rest = count(warnings.len(), "warning") + &count(notes.len(), "note");
        let _ = writeln!(self.text, "{name}: {verdict}{rest}");
        self.faults += faults.len();
    }
}

impl FileLines {
    fn check(&mut self, Checked { label, document, is_scraper }: &Checked, pace: ScraperPace) {
        if *is_scraper {
            let Noted { read, notes: _ } = document.gathered(config::read);
            self.refused(document, read.err().as_ref());
        } else {
            let Noted { read, notes } = document.parse();
            self.refused(document, read.as_ref().err());
            if let Ok(PluginConfig::Picker(picker)) = &read {
                let warnings = picker.warnings(document.value(), pace);
                self.warnings.extend(warnings.iter().map(|it| document.warning(it)));
            }
            self.notes.extend(notes.iter().map(|note| document.note(note)));
        }
        self.parts.push(label.clone());
    }

    fn refused(&mut self, document: &ConfigDocument, refused: Option<&RefusedConfig>) {
        self.faults.extend(refused.into_iter().flat_map(|refused| document.faults(refused)));
    }
}
