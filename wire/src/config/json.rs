//! A configuration's bytes as JSON.

use std::{cell::RefCell, fmt};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{CONFIG_BYTES_MAX, ConfigError};

/// Mark with which editors of some systems begin a text, in UTF-8.
const MARK_BYTES: &[u8] = b"\xef\xbb\xbf";

/// Repeated keys that are told: a path can be as long as the configuration, and the first few show what went wrong.
const REPEATED_MAX: usize = 16;

/// JSON as it was read, of which the last of several values of one key counts.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) value: Value,
    /// Paths of the keys that an object has more than once, the first few: of their values one is dropped.
    pub(super) repeated: Vec<String>,
}

impl Default for Tree {
    fn default() -> Self {
        Self { value: Value::Object(Map::new()), repeated: Vec::new() }
    }
}

/// Reads a configuration's JSON. Nothing at all is an object without members.
///
/// # Errors
/// For too many bytes, and for bytes that are no JSON.
pub(super) fn read(bytes: &[u8]) -> Result<Tree, ConfigError> {
    if bytes.len() > CONFIG_BYTES_MAX {
        let found = format!("of {} bytes", bytes.len());
        return Err(ConfigError::new("", "must be at most 1 MiB").having(found));
    }
    let bytes = bytes.strip_prefix(MARK_BYTES).unwrap_or(bytes);
    parse(bytes).map_err(|error| ConfigError::new("", format!("must be JSON: {error}")))
}

/// Reads JSON; nothing at all is an object without members.
pub(super) fn parse(bytes: &[u8]) -> Result<Tree, serde_json::Error> {
    let bytes = if bytes.trim_ascii().is_empty() { b"{}" } else { bytes };
    let repeated = RefCell::default();
    let root = Spot { way: &KeyPath::Root, repeated: &repeated };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = root.deserialize(&mut json)?;
    json.end()?;
    Ok(Tree { value, repeated: repeated.into_inner() })
}

/// Way from the root to a value.
enum KeyPath<'w> {
    Root,
    Key(&'w Self, &'w str),
    Index(&'w Self, usize),
}

/// Spot in the JSON that is about to be read.
#[derive(Clone, Copy)]
struct Spot<'p> {
    way: &'p KeyPath<'p>,
    repeated: &'p RefCell<Vec<String>>,
}

impl fmt::Display for KeyPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Self::Root, key) => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Spot<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Spot<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(flag.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let way = KeyPath::Index(self.way, list.len());
            match items.next_element_seed(Spot { way: &way, ..self })? {
                Some(item) => list.push(item),
                None => return Ok(list.into()),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let way = KeyPath::Key(self.way, &key);
            let value = members.next_value_seed(Spot { way: &way, ..self })?;
            if object.contains_key(&key) {
                let mut repeated = self.repeated.borrow_mut();
                if repeated.len() < REPEATED_MAX {
                    repeated.push(way.to_string());
                }
            }
            object.insert(key, value);
        }
        Ok(object.into())
    }
}
