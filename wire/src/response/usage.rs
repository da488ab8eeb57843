//! The cost of a request in tokens, by its response.
//!
//! The usage comes last: as an object near the end of a JSON body, or in the last events of a
//! stream; Anthropic's streams tell the cost of the prompt in their first event. So both ends are
//! kept and looked at once, when there is no more.

use std::fmt;

use memchr::memmem;
use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, Visitor},
};

use crate::body::{Dialect, UsageField};

/// Bytes of a response's end that are looked at. The usage itself is below 300; what may follow it
/// are a stream's `data: [DONE]` and a handful of short fields. Twice this is kept for each of the
/// thousands of responses that a worker has in flight.
const LAST: usize = 2048;

/// Bytes of a response's beginning that are looked at: `message_start` is some 300.
const FIRST: usize = 512;

/// Tokens of one request, as the model server counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens that were generated.
    pub output_tokens: u32,
    /// Tokens of the prompt that were cached, where the server says so.
    pub cached_tokens: Option<u32>,
}

/// Beginning and end of a response.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends {
    first: Vec<u8>,
    last: Vec<u8>,
}

impl Ends {
    pub(super) fn push(&mut self, chunk: &[u8]) {
        let room = FIRST - self.first.len();
        self.first.extend_from_slice(chunk.get(..room).unwrap_or(chunk));
        let (_, chunk) = chunk.split_at(chunk.len().saturating_sub(LAST));
        if self.last.len() + chunk.len() > 2 * LAST {
            self.last.drain(..self.last.len().saturating_sub(LAST));
        }
        self.last.extend_from_slice(chunk);
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        let (_, last) = self.last.split_at(self.last.len().saturating_sub(LAST));
        // Within a string the quotes were escaped, so this is a key. The last one that has a value
        // counts: a stream may say null, or what it has used so far, in every event.
        let last = memmem::rfind_iter(last, KEY).find_map(|at| value(last, at))?;
        if last.prompt.flatten().is_some() {
            return Some(last.into());
        }
        let first = memmem::find_iter(&self.first, KEY).find_map(|at| value(&self.first, at));
        Some(Counts { output: last.output, ..first.unwrap_or(last) }.into())
    }
}

const KEY: &[u8] = b"\"usage\"";

/// Counts of a usage, under whichever dialect's names they came. `None` where a name is absent, and
/// within where its value is null.
#[derive(Clone, Copy, Default)]
struct Counts {
    prompt: Option<Option<u32>>,
    /// Absent for an embedding.
    output: Option<Option<u32>>,
    details: Option<Option<Details>>,
    cache_read: Option<Option<u32>>,
    cache_creation: Option<Option<u32>>,
}

#[derive(Clone, Copy, Deserialize)]
struct Details {
    cached_tokens: Option<u32>,
}

/// Returns the usage behind the key at `at`, whatever comes after it; none if it says nothing.
fn value(bytes: &[u8], at: usize) -> Option<Counts> {
    let after_key = bytes.get(at + KEY.len()..)?;
    let value = after_key.trim_ascii_start().strip_prefix(b":")?;
    let counts: Counts = serde_json::Deserializer::from_slice(value).into_iter().next()?.ok()?;
    (counts.prompt.flatten().is_some() || counts.output.flatten().is_some()).then_some(counts)
}

impl From<Counts> for Usage {
    fn from(counts: Counts) -> Self {
        let prompt = [counts.prompt, counts.cache_read, counts.cache_creation];
        let cached = counts.details.flatten().and_then(|details| details.cached_tokens);
        Self {
            prompt_tokens: prompt.into_iter().flatten().flatten().fold(0, u32::saturating_add),
            output_tokens: counts.output.flatten().unwrap_or_default(),
            cached_tokens: cached.or_else(|| counts.cache_read.flatten()),
        }
    }
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(CountsVisitor)
    }
}

struct CountsVisitor;

impl<'de> Visitor<'de> for CountsVisitor {
    type Value = Counts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Counts, A::Error> {
        let mut counts = Counts::default();
        while let Some(Name(field)) = map.next_key()? {
            match field {
                Some(UsageField::Prompt) => read(&mut counts.prompt, &mut map)?,
                Some(UsageField::Output) => read(&mut counts.output, &mut map)?,
                Some(UsageField::PromptDetails) => read(&mut counts.details, &mut map)?,
                Some(UsageField::CacheRead) => read(&mut counts.cache_read, &mut map)?,
                Some(UsageField::CacheCreation) => read(&mut counts.cache_creation, &mut map)?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(counts)
    }
}

/// Reads a value. A count that comes under two names is ambiguous, and makes the usage say nothing.
fn read<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    slot: &mut Option<Option<T>>,
    map: &mut A,
) -> Result<(), A::Error> {
    if slot.is_some() {
        return Err(de::Error::custom("a count that comes twice"));
    }
    *slot = Some(map.next_value()?);
    Ok(())
}

/// Meaning of a key. An own type, so that a key with escapes can be read too.
struct Name(Option<UsageField>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Name, E> {
        Ok(Name(Dialect::usage_field(name)))
    }
}
