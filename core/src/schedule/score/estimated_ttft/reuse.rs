//! The price of one more copy of a prefix that many ask for.
//!
//! An endpoint that computes a prefix for one request has it for the next ones. So where the prefix is
//! asked for again and again, the request at hand pays a share of it: otherwise none would ever leave
//! the endpoints that have it, and these would serve the whole pool's load.

use super::known::Known;
use crate::pool::{Candidate, Reuse};

/// Uses of a further copy within [`Reuse::SECONDS`] that are not enough to make one: a copy takes room
/// from other prefixes. At 0, caches that just hold each prefix once lose them all; at 10, a prefix that
/// is suddenly hot spreads too late where several gateways share its uses.
const USES_MIN: f64 = 3.0;

/// Tokens of a prompt that a request pays for at one endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PaidTokens {
    /// Tokens that no endpoint has, and the request's share of those that another one has.
    pub(super) own: f64,
    /// Tokens of the latter that drive out of the endpoint's cache what will be asked for again.
    pub(super) evicting: f64,
}

/// The prefix of a request that the best-supplied endpoint has, and its price where it is lacking.
pub(super) struct CopyPrice<'a> {
    known: Known<'a>,
    /// Blocks that the best-supplied candidate has.
    blocks: u32,
    /// Uses of one more copy that [`Reuse::SECONDS`] will bring; zero if they are not enough for one.
    uses: f64,
}

impl<'a> CopyPrice<'a> {
    pub(super) fn new(known: Known<'a>, candidates: &[Candidate<'_>]) -> Self {
        let Known { request, learned, now } = known;
        let blocks = candidates.iter().map(|it| it.matched).max().unwrap_or(0);
        let prefix = request.chain.prefix(blocks).filter(|_| blocks > 0);
        let expected = prefix.map_or(0.0, |prefix| learned.reuse.expected(prefix, now));
        // Counted for a hot prefix only: most prompts have none.
        let uses = if expected > USES_MIN {
            let holders = candidates.iter().filter(|it| it.matched == blocks).count();
            expected / (holders as f64 + 1.0)
        } else {
            0.0
        };
        Self { known, blocks, uses }
    }

    /// Returns the share of a copy that the request pays at an endpoint, 0 to 1. The uses that come
    /// after the endpoint has evicted the copy pay nothing.
    fn share(&self, candidate: &Candidate<'_>) -> f64 {
        if self.uses <= USES_MIN {
            return 1.0;
        }
        let keeps_for = self.known.learned.turnover.cache(candidate.slot).keeps_for;
        let kept = (keeps_for / Reuse::SECONDS).min(1.0);
        (1.0 + (self.uses * kept - USES_MIN).max(0.0)).recip()
    }

    /// Returns the blocks of the prompt that an endpoint has, or that other requests will pay for.
    pub(super) fn blocks(&self, candidate: &Candidate<'_>) -> f64 {
        let lacking = f64::from(self.blocks.saturating_sub(candidate.matched));
        f64::from(candidate.matched) + lacking * (1.0 - self.share(candidate))
    }

    /// Returns the tokens of the prompt that the request pays for at an endpoint.
    pub(super) fn tokens(&self, candidate: &Candidate<'_>) -> PaidTokens {
        let request = self.known.request;
        let all = f64::from(candidate.uncached_tokens(request));
        let new = f64::from(request.uncached_tokens(self.blocks)).min(all);
        let copied = (all - new) * self.share(candidate);
        let cache = self.known.learned.turnover.cache(candidate.slot);
        PaidTokens { own: new + copied, evicting: copied * cache.evicts_used }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        model::{BlockHash, Chain, InferenceRequest, Instant},
        pool::{EndpointState, Learned, tests::member},
    };

    const BLOCKS: u32 = 10;
    /// Blocks that the best-supplied endpoint has.
    const MATCHED: u32 = 8;

    fn request() -> InferenceRequest {
        let hashes = (1..=u64::from(BLOCKS)).map(BlockHash).collect();
        let chain = Chain { hashes, blocks: BLOCKS };
        InferenceRequest { chain, ..InferenceRequest::default() }
    }

    /// Returns the tokens that a request pays for at an endpoint without a match, after so many other
    /// prompts, where so many endpoints have the prefix.
    fn paid(uses: u64, holders: usize, keeps_for: Option<u64>) -> PaidTokens {
        let member: EndpointState = member(&[]);
        let mut learned = Learned::default();
        learned.turnover.seen(member.slot, keeps_for.map(Duration::from_secs));
        for tail in 0..=uses {
            let prefix = BlockHash(u64::from(MATCHED));
            learned.reuse.add(prefix, MATCHED, BlockHash(100 + tail), Instant::default());
        }
        let request = request();
        let known = Known { request: &request, learned: &learned, now: Instant::default() };
        let cold = Candidate::idle(&member, 0);
        let mut candidates = vec![Candidate::idle(&member, MATCHED); holders];
        candidates.push(cold);
        CopyPrice::new(known, &candidates).tokens(&cold)
    }

    #[test]
    fn a_request_pays_its_share_of_a_copy_that_others_will_use() {
        let own = f64::from(BLOCKS - MATCHED) * 64.0;
        let prefix = f64::from(MATCHED) * 64.0;
        for (uses, holders, share) in [
            (0, 1, 1.0),
            // Three uses of the copy are nothing special, and half of all uses are the copy's.
            (6, 1, 1.0),
            (8, 1, 1.0 / 2.0),
            (26, 1, 1.0 / 11.0),
            (26, 3, 1.0 / 4.5),
            (8, 3, 1.0),
        ] {
            let found = paid(uses, holders, None).own;
            let expected = own + prefix * share;
            assert!(
                (found - expected).abs() < 1e-6,
                "{uses} at {holders}: {found}, not {expected}"
            );
        }
    }

    #[test]
    fn an_endpoint_is_warm_as_far_as_a_copy_is_paid_for() {
        let member = member(&[]);
        let learned = Learned::default();
        let request = request();
        let known = Known { request: &request, learned: &learned, now: Instant::default() };
        let half = CopyPrice { known, blocks: MATCHED, uses: USES_MIN + 1.0 };
        let blocks = |matched| half.blocks(&Candidate::idle(&member, matched));
        let found = [0, 4, MATCHED].map(blocks);
        assert_eq!(found.map(f64::to_bits), [4.0, 6.0, 8.0].map(f64::to_bits));
    }

    #[test]
    fn a_copy_pays_only_as_far_as_it_is_used_before_it_is_evicted() {
        let prefix = f64::from(MATCHED) * 64.0;
        let own = |keeps_for| paid(26, 1, keeps_for).own - f64::from(BLOCKS - MATCHED) * 64.0;
        for (keeps_for, share) in [(5, 1.0 / 11.0), (60, 1.0 / 11.0), (2, 1.0 / 3.2), (0, 1.0)] {
            let found = own(Some(keeps_for)) / prefix;
            assert!((found - share).abs() < 1e-6, "{keeps_for} s: {found}, not {share}");
        }
    }

    #[test]
    fn a_copy_in_a_tight_cache_drives_out_what_is_used() {
        let evicting = |keeps_for| paid(0, 1, keeps_for).evicting / (f64::from(MATCHED) * 64.0);
        assert!(evicting(None).abs() < 1e-9);
        assert!((evicting(Some(0)) - 1.0).abs() < 1e-9);
        assert!(evicting(Some(5)) > 2.0 * evicting(Some(15)));
    }
}
