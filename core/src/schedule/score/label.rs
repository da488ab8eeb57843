//! By the pods' labels: the range of prompts that they are for, a value that the request asks for,
//! where they are.

use super::plugin::{ScorerPlugin, each};
use crate::{
    model::{InferenceRequest, Score},
    pool::{Candidate, EndpointState},
    schedule::{Needs, PickContext},
};

/// By the length of prompts that a pod is for (EPP: context-length-aware).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextLength {
    /// The label with the range, as `min-max` in tokens.
    pub label: String,
    /// True if pods for other prompts are dropped, and not only scored lower.
    pub filters: bool,
}

impl Default for ContextLength {
    fn default() -> Self {
        Self { label: "llm-d.ai/context-length-range".to_owned(), filters: false }
    }
}

impl ScorerPlugin for ContextLength {
    fn needs(&self) -> Needs<'_> {
        Needs::NOTHING
    }

    fn score_all(
        &self,
        context: &PickContext<'_>,
        candidates: &[Candidate<'_>],
        scores: &mut Vec<Score>,
    ) {
        let tokens = context.request.tokens();
        each(candidates, scores, |candidate| self.score(candidate.member, tokens));
    }
}

impl ContextLength {
    /// Scores in range `0.3 + 0.7 * (0.7 / (1 + width / 10000) + 0.3 * headroom / width)`, beyond
    /// it `0.3 / (1 + distance / 1000)`, without a label 0.5, and 0 with a label that says no
    /// range.
    fn score(&self, member: &EndpointState, tokens: u32) -> Score {
        match member.label(&self.label).map(TokenRange::parse) {
            None => Score::clamped(0.5),
            Some(None) => Score::ZERO,
            Some(Some(range)) => range.score(tokens),
        }
    }

    /// True if a pod takes prompts of that length; one without a label takes all.
    pub(crate) fn keeps(&self, member: &EndpointState, tokens: u32) -> bool {
        match member.label(&self.label).map(TokenRange::parse) {
            None => true,
            Some(None) => false,
            Some(Some(range)) => range.contains(tokens),
        }
    }
}

/// Lengths of prompts, in tokens, both ends included.
#[derive(Clone, Copy, Debug)]
struct TokenRange {
    min: u32,
    max: u32,
}

impl TokenRange {
    /// Reads `min-max`.
    fn parse(text: &str) -> Option<Self> {
        let (min, max) = text.split_once('-')?;
        let min = min.trim().parse().ok()?;
        let max = max.trim().parse().ok()?;
        (min <= max).then_some(Self { min, max })
    }

    fn contains(self, tokens: u32) -> bool {
        (self.min..=self.max).contains(&tokens)
    }

    fn score(self, tokens: u32) -> Score {
        let Self { min, max } = self;
        let distance = if tokens > max { tokens - max } else { min.saturating_sub(tokens) };
        if distance > 0 {
            return Score::clamped(0.3 / (1.0 + f64::from(distance) / 1_000.0));
        }
        if min == max {
            return Score::ONE;
        }
        let width = f64::from(max - min);
        let headroom = f64::from(max - tokens) / width;
        Score::clamped(0.3 + 0.7 * (0.7 / (1.0 + width / 10_000.0) + 0.3 * headroom))
    }
}

/// By a label that has the value of a header (EPP: header-label-affinity-scorer).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderLabel {
    /// The header, in lower case.
    pub header: String,
    /// The label.
    pub label: String,
}

impl ScorerPlugin for HeaderLabel {
    fn needs(&self) -> Needs<'_> {
        Needs::header(&self.header)
    }

    fn score_all(
        &self,
        context: &PickContext<'_>,
        candidates: &[Candidate<'_>],
        scores: &mut Vec<Score>,
    ) {
        each(candidates, scores, |candidate| self.score(candidate.member, context.request));
    }
}

impl HeaderLabel {
    fn score(&self, member: &EndpointState, request: &InferenceRequest) -> Score {
        let wanted = request.header(&self.header).filter(|value| !value.is_empty());
        let equal = wanted.is_some() && wanted == member.label(&self.label);
        if equal { Score::ONE } else { Score::ZERO }
    }
}

/// The nearness of two pods, the tightest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// On the same host.
    #[default]
    Host,
    /// In the same rack.
    Rack,
    /// In the same zone.
    Zone,
    /// In the same region.
    Region,
}

impl Level {
    /// By the EPP's names, the tightest first.
    pub const NAMED: [(&str, Self); 4] = [
        ("host", Self::Host),
        ("rack", Self::Rack),
        ("zone", Self::Zone),
        ("region", Self::Region),
    ];
}

/// By how near a pod is to the one of an earlier stage, by the bandwidth between them
/// (EPP: topology-affinity-scorer).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Labels with the host, rack, zone and region.
    pub labels: [String; 4],
}

impl Default for Topology {
    /// Kubernetes' labels of nodes, where pods carry them too (EPP: topology-extractor).
    fn default() -> Self {
        let labels = [
            "kubernetes.io/hostname",
            "topology.kubernetes.io/rack",
            "topology.kubernetes.io/zone",
            "topology.kubernetes.io/region",
        ];
        Self { labels: labels.map(str::to_owned) }
    }
}

impl ScorerPlugin for Topology {
    fn needs(&self) -> Needs<'_> {
        Needs::NOTHING
    }

    fn score_all(
        &self,
        context: &PickContext<'_>,
        candidates: &[Candidate<'_>],
        scores: &mut Vec<Score>,
    ) {
        each(candidates, scores, |candidate| self.score(candidate.member, context.peer));
    }
}

impl Topology {
    fn score(&self, member: &EndpointState, peer: Option<&EndpointState>) -> Score {
        match peer.and_then(|peer| self.nearest(member, peer)) {
            None => Score::ZERO,
            Some(Level::Host) => Score::ONE,
            Some(Level::Rack) => Score::clamped(0.20),
            Some(Level::Zone) => Score::clamped(0.05),
            Some(Level::Region) => Score::clamped(0.02),
        }
    }

    /// Returns the tightest level that both say they are in.
    pub(crate) fn nearest(&self, member: &EndpointState, peer: &EndpointState) -> Option<Level> {
        let shared = |label: &String| {
            let here = member.label(label).filter(|value| !value.is_empty());
            here.is_some() && here == peer.label(label)
        };
        let levels = Level::NAMED.into_iter().map(|(_, level)| level);
        self.labels.iter().zip(levels).find(|(label, _)| shared(label)).map(|(_, level)| level)
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "what is compared is exact or was rounded")]
mod tests {
    use super::*;
    use crate::pool::tests::member;

    #[test]
    fn tight_ranges_with_headroom_are_best() {
        let score = |label: &str, tokens| {
            let member = member(&[("llm-d.ai/context-length-range", label)]);
            (ContextLength::default().score(&member, tokens).get() * 1e4).round() / 1e4
        };
        // Width 10,000: 0.3 + 0.7 * (0.35 + 0.3 * 0.5).
        assert_eq!(score("0-10000", 5_000), 0.65);
        assert_eq!(score("7-7", 7), 1.0);
        assert_eq!(score("0-1000", 2_000), 0.15);
        assert_eq!(score("1000-2000", 0), 0.15);
        assert_eq!([score("2000-1000", 5), score("all", 5)], [0.0, 0.0]);
        assert_eq!(ContextLength::default().score(&member(&[]), 5), Score::clamped(0.5));
    }

    #[test]
    fn a_label_equals_a_header() {
        let affinity = HeaderLabel { header: "x-tier".into(), label: "tier".into() };
        let request = |value: &str| InferenceRequest {
            headers: vec![("x-tier".to_owned(), value.to_owned())],
            ..InferenceRequest::default()
        };
        let gold = member(&[("tier", "gold")]);
        assert_eq!(affinity.score(&gold, &request("gold")), Score::ONE);
        assert_eq!(affinity.score(&gold, &request("tin")), Score::ZERO);
        assert_eq!(affinity.score(&member(&[]), &InferenceRequest::default()), Score::ZERO);
    }

    #[test]
    fn the_tightest_level_counts() {
        let place = |host, zone| {
            member(&[("kubernetes.io/hostname", host), ("topology.kubernetes.io/zone", zone)])
        };
        let topology = Topology::default();
        let score =
            |here: &EndpointState, there: &EndpointState| topology.score(here, Some(there)).get();
        let [a, b, c] = [place("a", "z"), place("b", "z"), place("c", "y")];
        assert_eq!([score(&a, &a), score(&a, &b), score(&a, &c)], [1.0, 0.05, 0.0]);
        assert_eq!(topology.score(&a, None), Score::ZERO);
        assert_eq!(score(&member(&[]), &member(&[])), 0.0);
    }
}
