//! A YAML text on its way to a tree and its places.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned};

use super::{ConfigDocument, TextPlace, TextPlaces, UnreadableText};

/// Node of a document, with the places of what is in it.
enum YamlNode {
    Scalar(Value),
    List(Vec<Spanned<Self>>),
    Object(Vec<(Spanned<String>, Spanned<Self>)>),
}

/// Reads every document of a text, leaving out empty ones.
pub(super) fn documents(text: &str) -> Result<Vec<ConfigDocument>, UnreadableText> {
    let options = serde_saphyr::options! {
        // All faults are told at once, and that a key is repeated is one of them.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        with_snippet: false,
    };
    let nodes: Vec<Spanned<YamlNode>> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| UnreadableText::of_yaml(&error))?;
    let is_empty = |node: &Spanned<YamlNode>| matches!(node.value, YamlNode::Scalar(Value::Null));
    Ok(nodes.into_iter().filter(|node| !is_empty(node)).map(ConfigDocument::new).collect())
}

/// Returns the value at a path. A key may have dots in it, as those of a ConfigMap have.
pub(super) fn descend<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    if path.is_empty() {
        return Some(value);
    }
    match value {
        Value::Object(members) => {
            let path = path.strip_prefix('.').unwrap_or(path);
            members.iter().find_map(|(key, value)| {
                let rest = path.strip_prefix(key.as_str())?;
                let is_key = rest.is_empty() || rest.starts_with(['.', '[']);
                descend(value, is_key.then_some(rest)?)
            })
        }
        Value::Array(items) => {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            descend(items.get(index.parse::<usize>().ok()?)?, rest)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

impl ConfigDocument {
    fn new(root: Spanned<YamlNode>) -> Self {
        let mut document = Self::default();
        let value = document.place_node(String::new(), None, root);
        document.tree.value = value;
        document
    }

    /// Keeps the places of a node and of all below it, and returns its value.
    fn place_node(
        &mut self,
        path: String,
        key: Option<TextPlace>,
        node: Spanned<YamlNode>,
    ) -> Value {
        let places = TextPlaces { key, value: place(node.referenced) };
        let value = match node.value {
            YamlNode::Scalar(value) => value,
            YamlNode::List(items) => {
                let items = items.into_iter().enumerate();
                let item = |(index, item)| self.place_node(format!("{path}[{index}]"), None, item);
                Value::Array(items.map(item).collect())
            }
            YamlNode::Object(members) => {
                let mut object = Map::new();
                for (key, value) in members {
                    let dot = if path.is_empty() { "" } else { "." };
                    let inner = format!("{path}{dot}{}", key.value);
                    if object.contains_key(&key.value) {
                        self.tree.repeated.push(inner.clone());
                    }
                    let value = self.place_node(inner, Some(place(key.referenced)), value);
                    object.insert(key.value, value);
                }
                Value::Object(object)
            }
        };
        self.places.insert(path, places);
        value
    }
}

impl UnreadableText {
    fn of_yaml(error: &serde_saphyr::Error) -> Self {
        let text = error.without_snippet().to_string();
        let place = error.location().map(place);
        // The place stands in front of the line already.
        let said = place.map(|at| format!("line {} column {}: ", at.line, at.column));
        let problem = match said.as_deref().and_then(|said| text.split_once(said)) {
            Some((_, problem)) => problem,
            None => &text,
        };
        let behind = place.map(|at| format!(" at line {}, column {}", at.line, at.column));
        let problem = behind.as_deref().and_then(|it| problem.strip_suffix(it)).unwrap_or(problem);
        Self { place, problem: format!("must be YAML or JSON: {problem}") }
    }
}

fn place(location: Location) -> TextPlace {
    TextPlace { line: location.line().max(1), column: location.column().max(1) }
}

impl<'de> Deserialize<'de> for YamlNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlVisitor)
    }
}

struct YamlVisitor;

impl<'de> Visitor<'de> for YamlVisitor {
    type Value = YamlNode;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E>(self) -> Result<YamlNode, E> {
        Ok(YamlNode::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<YamlNode, E> {
        Ok(YamlNode::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<YamlNode, E> {
        Ok(YamlNode::Scalar(flag.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<YamlNode, E> {
        Ok(YamlNode::Scalar(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<YamlNode, E> {
        Ok(YamlNode::Scalar(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<YamlNode, E> {
        Ok(YamlNode::Scalar(number.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<YamlNode, E> {
        Ok(YamlNode::Scalar(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<YamlNode, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(YamlNode::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<YamlNode, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(YamlNode::Object(object))
    }
}
