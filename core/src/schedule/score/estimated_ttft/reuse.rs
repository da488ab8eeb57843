//! The price of one more copy of a prefix that many ask for.
//!
//! An endpoint that computes a prefix for one request has it for the next ones. So where the prefix is
//! asked for again and again, the request at hand pays a share of it: otherwise none would ever leave
//! the endpoints that have it, and these would serve the whole pool's load.

use super::estimator::Known;
use crate::{model::InferenceRequest, pool::Candidate};

/// Uses of a further copy within five seconds that are not enough to make one: a copy takes room
/// from other prefixes. At 0, caches that just hold each prefix once lose them all; at 10, a prefix that
/// is suddenly hot spreads too late where several gateways share its uses.
const USES_MIN: f64 = 3.0;

/// The prefix of a request that the best-supplied endpoint has, and its price where it is lacking.
pub(super) struct CopyPrice {
    /// Blocks that the best-supplied candidate has.
    blocks: u32,
    /// Share of a copy that the request pays, 0 to 1.
    share: f64,
}

impl CopyPrice {
    pub(super) fn new(known: Known<'_>, candidates: &[Candidate<'_>]) -> Self {
        let Known { request, learned, now } = known;
        let blocks = candidates.iter().map(|it| it.matched).max().unwrap_or(0);
        let whole = Self { blocks, share: 1.0 };
        let Some(prefix) = request.chain.prefix(blocks).filter(|_| blocks > 0) else {
            return whole;
        };
        let expected = learned.reuse.expected(prefix, now);
        if expected <= USES_MIN {
            return whole;
        }
        let holders = candidates.iter().filter(|it| it.matched == blocks).count();
        let uses = expected / (holders as f64 + 1.0) - USES_MIN;
        Self { blocks, share: (1.0 + uses.max(0.0)).recip() }
    }

    /// Returns the blocks of the prompt that an endpoint has, or that other requests will pay for.
    pub(super) fn blocks(&self, candidate: &Candidate<'_>) -> f64 {
        let lacking = f64::from(self.blocks.saturating_sub(candidate.matched));
        f64::from(candidate.matched) + lacking * (1.0 - self.share)
    }

    /// Returns the tokens of the prompt that the request pays for at an endpoint.
    pub(super) fn tokens(&self, candidate: &Candidate<'_>, request: &InferenceRequest) -> f64 {
        let own = f64::from(candidate.uncached_tokens(request));
        let least = f64::from(request.uncached_tokens(self.blocks));
        least + (own - least).max(0.0) * self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{BlockHash, Chain, Instant},
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
    fn paid(uses: u64, holders: usize) -> f64 {
        let member: EndpointState = member(&[]);
        let mut learned = Learned::default();
        for tail in 0..=uses {
            let prefix = BlockHash(u64::from(MATCHED));
            learned.reuse.add(prefix, MATCHED, BlockHash(100 + tail), Instant::default());
        }
        let request = request();
        let known = Known { request: &request, learned: &learned, now: Instant::default() };
        let cold = Candidate::idle(&member, 0);
        let mut candidates = vec![Candidate::idle(&member, MATCHED); holders];
        candidates.push(cold);
        CopyPrice::new(known, &candidates).tokens(&cold, &request)
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
            let found = paid(uses, holders);
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
        let half = CopyPrice { blocks: MATCHED, share: 0.5 };
        let blocks = |matched| half.blocks(&Candidate::idle(&member, matched));
        let found = [0, 4, MATCHED].map(blocks);
        assert_eq!(found.map(f64::to_bits), [4.0, 6.0, 8.0].map(f64::to_bits));
    }
}
