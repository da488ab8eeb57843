//! The scorers that exist, by the EPP's names.

use std::{fmt, str::FromStr};

use super::{Candidate, Score, kv_cache_utilization, prefix_cache, queue};

/// One way to look at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scorer {
    /// Few requests wait there.
    Queue,
    /// Much of its KV cache is free.
    KvCacheUtilization,
    /// It has cached much of the prompt.
    PrefixCache,
}

impl Scorer {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::PrefixCache, Self::Queue, Self::KvCacheUtilization];

    /// The plugin type in an EndpointPickerConfig.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue-scorer",
            Self::KvCacheUtilization => "kv-cache-utilization-scorer",
            Self::PrefixCache => "prefix-cache-scorer",
        }
    }

    /// The word for it in a decision's header.
    #[must_use]
    pub const fn short_name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::KvCacheUtilization => "kv",
            Self::PrefixCache => "prefix",
        }
    }

    /// A score for each candidate, in their order, for a prompt of `blocks` blocks.
    #[must_use]
    pub fn scores(self, candidates: &[Candidate], blocks: u32) -> Vec<Score> {
        match self {
            Self::Queue => queue::scores(candidates),
            Self::KvCacheUtilization => kv_cache_utilization::scores(candidates),
            Self::PrefixCache => prefix_cache::scores(candidates, blocks),
        }
    }
}

impl FromStr for Scorer {
    type Err = UnknownScorer;

    fn from_str(name: &str) -> Result<Self, UnknownScorer> {
        let is_it = |scorer: &Self| scorer.name() == name;
        Self::ALL.into_iter().find(is_it).ok_or_else(|| UnknownScorer { name: name.to_owned() })
    }
}

/// A plugin type that is not a scorer here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownScorer {
    /// What was found.
    pub name: String,
}

impl fmt::Display for UnknownScorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let allowed = Scorer::ALL.map(Scorer::name).join(", ");
        write!(f, "unknown scorer {:?}; allowed: {allowed}", self.name)
    }
}

impl std::error::Error for UnknownScorer {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_written() {
        for scorer in Scorer::ALL {
            assert_eq!(scorer.name().parse(), Ok(scorer));
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known() {
        assert_eq!(
            "queue".parse::<Scorer>().unwrap_err().to_string(),
            "unknown scorer \"queue\"; allowed: prefix-cache-scorer, queue-scorer, \
             kv-cache-utilization-scorer"
        );
    }
}
