//! A configuration as people write it, in YAML or JSON, with the line and column of every part of it.
//!
//! Envoy hands the plugin JSON, so none of this is in the plugin: programs read files by it, and then by
//! the plugin's own reader.

mod nearest;
mod node;

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use super::{
    At, CONFIG_BYTES_MAX, ConfigError, ConfigNote, ConfigWarning, Noted, PluginConfig,
    RefusedConfig,
    json::{self, Tree},
};

/// Mark with which editors of some systems begin a text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Place in a text, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TextPlace {
    /// Line.
    pub line: u64,
    /// Column, in characters.
    pub column: u64,
}

/// Error that a text is neither YAML nor JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableText {
    /// Place of the fault, if the parser knows it.
    pub place: Option<TextPlace>,
    /// Problem in words.
    pub problem: String,
}

/// YAML or JSON document, with the place of every part of it.
#[derive(Debug, Default)]
pub struct ConfigDocument {
    tree: Tree,
    /// Places of the values and keys, by their paths.
    places: BTreeMap<String, TextPlaces>,
}

/// Places of a value and of the key in front of it.
#[derive(Clone, Copy, Debug)]
struct TextPlaces {
    key: Option<TextPlace>,
    value: TextPlace,
}

impl fmt::Display for TextPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl fmt::Display for UnreadableText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for UnreadableText {}

impl ConfigDocument {
    /// Reads a text with one document in it. Nothing at all is an object without members.
    ///
    /// # Errors
    /// For a text that is neither YAML nor JSON, is too long, or has several documents.
    pub fn read(text: &str) -> Result<Self, UnreadableText> {
        let mut documents = Self::read_all(text)?;
        let document = documents.pop().unwrap_or_default();
        if documents.is_empty() {
            return Ok(document);
        }
        let place = document.places.get("").map(|places| places.value);
        let problem = "must be one document; found another behind ---".to_owned();
        Err(UnreadableText { place, problem })
    }

    /// Reads a text with any number of documents in it, leaving out empty ones.
    ///
    /// # Errors
    /// For a text that is neither YAML nor JSON, or is too long.
    pub fn read_all(text: &str) -> Result<Vec<Self>, UnreadableText> {
        if text.len() > CONFIG_BYTES_MAX {
            let problem = format!("must be at most 1 MiB; found {} bytes", text.len());
            return Err(UnreadableText { place: None, problem });
        }
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let places = node::documents(text);
        if text.trim_start().starts_with(['{', '[']) {
            match json::parse(text.as_bytes()) {
                // JSON has escapes that YAML has not, so YAML tells its places alone.
                Ok(tree) => {
                    let places = places.ok().and_then(|mut all| all.pop()).unwrap_or_default();
                    return Ok(vec![Self { tree, places: places.places }]);
                }
                // Flow style is YAML that begins like JSON, and has no quotes where JSON needs them.
                Err(error) if is_quoted(text) => return Err(UnreadableText::of_json(&error)),
                Err(error) => return places.map_err(|_| UnreadableText::of_json(&error)),
            }
        }
        places
    }

    /// Returns the value of the whole.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.tree.value
    }

    /// Reads the document as the plugin would.
    #[must_use]
    pub fn parse(&self) -> Noted<PluginConfig> {
        super::read(&self.tree)
    }

    /// Reads the document with `read`, gathering all faults.
    #[must_use]
    pub fn gathered<T>(&self, read: impl FnOnce(&At<'_>) -> Result<T, ConfigError>) -> Noted<T> {
        super::gathered(&self.tree, read)
    }

    /// Returns the part at a path as a document of its own; `None` where there is none.
    #[must_use]
    pub fn part(&self, path: &str) -> Option<Self> {
        let inner = |other: &str| {
            let rest = other.strip_prefix(path)?;
            match rest.strip_prefix('.') {
                Some(key) => Some(key.to_owned()),
                None if rest.is_empty() || rest.starts_with('[') => Some(rest.to_owned()),
                None => None,
            }
        };
        let places = self.places.iter();
        let places: BTreeMap<_, _> =
            places.filter_map(|(other, places)| Some((inner(other)?, *places))).collect();
        let repeated = self.tree.repeated.iter().filter_map(|other| inner(other)).collect();
        let value = node::descend(&self.tree.value, path)?.clone();
        Some(Self { tree: Tree { value, repeated }, places })
    }

    /// Reads the text at a path as a document, `whole` being the text of this one; `None` where there is
    /// no text.
    ///
    /// # Errors
    /// Those of [`ConfigDocument::read`].
    pub fn embedded(&self, path: &str, whole: &str) -> Option<Result<Self, UnreadableText>> {
        let text = node::descend(&self.tree.value, path)?.as_str()?;
        let shift = Shift::new(self.place(path), whole, text);
        let read = Self::read(text).map(|document| document.shifted(shift));
        Some(read.map_err(|error| UnreadableText {
            place: Some(error.place.map_or(shift.first, |place| shift.of(place))),
            ..error
        }))
    }

    fn shifted(mut self, shift: Shift) -> Self {
        for places in self.places.values_mut() {
            places.key = places.key.map(|place| shift.of(place));
            places.value = shift.of(places.value);
        }
        self
    }

    /// Returns the place of the value at a path, or of the nearest part around it.
    #[must_use]
    pub fn place(&self, path: &str) -> TextPlace {
        self.around(path).map_or(TextPlace { line: 1, column: 1 }, |(_, places)| places.value)
    }

    /// Returns the nearest part at or around a path, with its path.
    fn around<'p>(&self, mut path: &'p str) -> Option<(&'p str, TextPlaces)> {
        loop {
            if let Some(places) = self.places.get(path) {
                return Some((path, *places));
            }
            if path.is_empty() {
                return None;
            }
            path = path.rfind(['.', '[']).and_then(|end| path.get(..end)).unwrap_or_default();
        }
    }

    /// Returns all faults in words, each on a line that begins with the file's name and its place.
    #[must_use]
    pub fn refusal(&self, name: &str, refused: &RefusedConfig) -> String {
        let lines = self.faults(refused).into_iter().map(|fault| format!("{name}:{fault}"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Returns all faults in words, each with its place and with the nearest names first, in the order of
    /// the text.
    #[must_use]
    pub fn faults(&self, refused: &RefusedConfig) -> Vec<String> {
        let faults = refused.faults().iter().map(|fault| (self.blamed(fault), fault));
        let mut faults: Vec<_> = faults.collect();
        faults.sort_by_key(|(place, _)| *place);
        let line = |(place, fault)| format!("{place}: {}", nearest::advised(fault));
        faults.into_iter().map(line).collect()
    }

    /// Returns the place of what a fault is about.
    fn blamed(&self, fault: &ConfigError) -> TextPlace {
        match self.around(&fault.path) {
            // A key is at fault by itself; else the value behind it is.
            Some((path, TextPlaces { key: Some(key), .. }))
                if path == fault.path && fault.found.is_none() =>
            {
                key
            }
            Some((_, places)) => places.value,
            None => TextPlace { line: 1, column: 1 },
        }
    }

    /// Returns a warning in words, with its place.
    #[must_use]
    pub fn warning(&self, warning: &ConfigWarning) -> String {
        format!("{}: warning: {warning}", self.place(&warning.path))
    }

    /// Returns a note in words, with its place.
    #[must_use]
    pub fn note(&self, note: &ConfigNote) -> String {
        format!("{}: note: {note}", self.place(&note.path))
    }
}

impl UnreadableText {
    /// Returns the error in words, on a line that begins with the file's name.
    #[must_use]
    pub fn refusal(&self, name: &str) -> String {
        let separator = if self.place.is_some() { "" } else { " " };
        format!("{name}:{separator}{self}")
    }

    fn of_json(error: &serde_json::Error) -> Self {
        let place = TextPlace { line: error.line() as u64, column: (error.column() as u64).max(1) };
        let text = error.to_string();
        let problem = text.split(" at line ").next().unwrap_or_default();
        Self { place: Some(place), problem: format!("must be JSON: {problem}") }
    }
}

/// True if the first thing in an object or a list is in double quotes, or is an object or a list itself.
fn is_quoted(text: &str) -> bool {
    text.trim_start().trim_start_matches(['{', '[', ' ', '\t', '\r', '\n']).starts_with('"')
}

/// Way from a place in a text to the same place in the text around it.
#[derive(Clone, Copy, Debug)]
struct Shift {
    /// Place of the inner text in the outer one.
    first: TextPlace,
    /// Lines and columns that go before; `None` where the inner text is written with escapes, so that its
    /// places have no like.
    before: Option<(u64, u64)>,
}

impl Shift {
    /// Finds the inner text, which is a block of lines at or behind a place of the outer one.
    fn new(first: TextPlace, outer: &str, inner: &str) -> Self {
        let lines = inner.lines().enumerate();
        let before =
            lines.map(|(at, line)| (at as u64, line)).find(|(_, line)| !line.trim().is_empty());
        let before = before.and_then(|(skipped, line)| {
            let lines = outer.lines().enumerate().map(|(at, line)| (at as u64 + 1, line));
            let mut lines = lines.skip_while(|(number, _)| *number < first.line);
            let (number, found) = lines.find(|(_, other)| other.trim() == line.trim())?;
            let indent = |line: &str| (line.len() - line.trim_start().len()) as u64;
            Some((number.checked_sub(1 + skipped)?, indent(found).checked_sub(indent(line))?))
        });
        Self { first, before }
    }

    fn of(self, place: TextPlace) -> TextPlace {
        match self.before {
            Some((lines, columns)) => {
                TextPlace { line: place.line + lines, column: place.column + columns }
            }
            None => self.first,
        }
    }
}
