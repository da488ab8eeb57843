//! Disaggregated serving: one pod computes the prompt, another writes the answer
//! (EPP: disagg-profile-handler).

use crate::{
    model::{InferenceRequest, PickError, Prefill, Rng, SchedulingResult},
    pool::Candidate,
    schedule::{PickContext, ProfileRunResult, Scheduling},
};

/// The profiles of the stages, and when each runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Disagg {
    /// Profile of the pod that writes the answer; always runs.
    pub decode: String,
    /// Profile of the pod that computes the prompt.
    pub prefill: String,
    /// Profile of the pods that read images, videos and sounds.
    pub encode: String,
    /// Decider of whether the prompt is computed apart; never without. Not asked where prefill
    /// comes first.
    pub prefill_decider: Option<Decider>,
    /// True if prompts with images, videos or sounds are encoded apart
    /// (EPP: always-disagg-multimodal-decider).
    pub encodes_media: bool,
    /// Stage that is chosen first; the other is then chosen near it.
    pub order: StageOrder,
}

/// The stage that is chosen first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageOrder {
    /// Decode, then prefill if its decider says so.
    DecodeFirst,
    /// Prefill whenever it has a profile, then decode.
    PrefillFirst,
}

/// The condition under which a prompt is computed apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decider {
    /// Always (EPP: always-disagg-pd-decider).
    Always,
    /// The chosen decode pod would have much to compute (EPP: prefix-based-pd-decider).
    PrefixBased {
        /// Tokens that it has not cached, at least; 0 for never.
        uncached: u32,
        /// Tokens of the prompt, at least.
        prompt: u32,
    },
}

/// The stages that a request runs apart (EPP: decision_type).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StagesApart {
    /// None: one pod does it all.
    DecodeOnly,
    /// The prompt is computed elsewhere.
    Prefill,
    /// Images, videos or sounds are encoded elsewhere.
    Encode,
    /// Both are done elsewhere.
    EncodeAndPrefill,
}

impl StagesApart {
    /// Returns the stages that a result has run apart.
    #[must_use]
    pub fn from_result(result: &SchedulingResult) -> Self {
        let encodes = result.headers.iter().any(|(name, _)| *name == ENCODERS);
        match (encodes, result.prefill.is_some()) {
            (false, false) => Self::DecodeOnly,
            (false, true) => Self::Prefill,
            (true, false) => Self::Encode,
            (true, true) => Self::EncodeAndPrefill,
        }
    }
}

impl Default for Disagg {
    fn default() -> Self {
        Self {
            decode: "decode".to_owned(),
            prefill: "prefill".to_owned(),
            encode: "encode".to_owned(),
            prefill_decider: None,
            encodes_media: false,
            order: StageOrder::DecodeFirst,
        }
    }
}

impl Decider {
    fn disaggregates(self, request: &InferenceRequest, decode: &Candidate<'_>) -> bool {
        match self {
            Self::Always => true,
            Self::PrefixBased { uncached, prompt } => {
                uncached > 0
                    && request.tokens() >= prompt
                    && decode.uncached_tokens(request) >= uncached
            }
        }
    }
}

/// The header with the pod that the decode pod's sidecar asks to compute the prompt.
const PREFILLER: &str = "x-prefiller-host-port";

/// The header with the pods that it asks to encode, one after the other.
const ENCODERS: &str = "x-encoder-hosts-ports";

impl Disagg {
    pub(super) fn decide(
        &self,
        scheduling: &Scheduling,
        context: &PickContext<'_>,
        candidates: &[Candidate<'_>],
        rng: &mut Rng,
    ) -> Result<SchedulingResult, PickError> {
        let mut run = |name: &str, peer: Option<&Candidate<'_>>| {
            let peer = peer.map(|candidate| candidate.member);
            let context = PickContext { peer, ..*context };
            scheduling.profile(name)?.run(&context, candidates.to_vec(), rng)
        };
        let (decode, prefill) = match self.order {
            StageOrder::DecodeFirst => {
                let decode = run(&self.decode, None)?;
                let wanted = self.prefill_decider.zip(decode.best()).is_some_and(|(it, best)| {
                    scheduling.profile(&self.prefill).is_ok()
                        && it.disaggregates(context.request, best)
                });
                // As in the EPP: a prompt that is to be computed apart is not computed elsewhere.
                let prefill = wanted.then(|| run(&self.prefill, decode.best())).transpose()?;
                (decode, prefill)
            }
            StageOrder::PrefillFirst => {
                let has_profile = scheduling.profile(&self.prefill).is_ok();
                let prefill = has_profile.then(|| run(&self.prefill, None)).transpose()?;
                (run(&self.decode, prefill.as_ref().and_then(ProfileRunResult::best))?, prefill)
            }
        };
        // An encode profile that finds no pod is done without, and the decode pod encodes.
        let encodes = self.encodes_media && context.request.media > 0;
        let encode = encodes.then(|| run(&self.encode, None).ok()).flatten();

        let mut decision = decode.result(context.request, context.now)?;
        if let Some(ranking) = prefill
            && let Some(best) = ranking.best()
        {
            let sight = ranking.observation(best, context.request);
            decision.prefill = Some(Box::new(Prefill { endpoint: best.member.address, sight }));
            decision.headers.push((PREFILLER, best.member.address.to_string()));
        }
        if let Some(encode) = encode {
            let hosts = encode.ranked.iter().map(|it| it.member.address.to_string());
            decision.headers.push((ENCODERS, hosts.collect::<Vec<_>>().join(",")));
        }
        Ok(decision)
    }
}
