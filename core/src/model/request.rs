//! A request, as far as the choice of an endpoint depends on it.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{Chain, ENDPOINTS_MAX, Priority};

/// A request, read and reduced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InferenceRequest {
    /// The request's prompt. An empty chain goes by load alone.
    pub chain: Chain,
    /// The model or LoRA adapter that it is sent to, after rewrites; empty if it names none.
    pub model: String,
    /// The request's priority; below 0 it may be turned away.
    pub priority: Priority,
    /// Tokens of the prompt where they are known, as for a prompt of token ids.
    pub prompt_tokens: Option<u32>,
    /// Images, videos and sounds in its prompt.
    pub media: u32,
    /// The client's own word for its session, where the body has one.
    pub session: Option<String>,
    /// The headers that [`crate::Config::header_names`] asks for, as far as it has them; the names
    /// in lower case.
    pub headers: Vec<(String, String)>,
    /// Times within which tokens are wanted.
    pub slo: Slo,
    /// The endpoints that it may go to, where the gateway narrows the pool.
    pub subset: Option<Subset>,
}

/// The times within which tokens are wanted (EPP: `x-llm-d-slo-ttft-ms`, `x-llm-d-slo-tpot-ms`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slo {
    /// The first one.
    pub ttft: Option<Duration>,
    /// For each further token.
    pub tpot: Option<Duration>,
}

impl InferenceRequest {
    /// Returns the prompt's tokens, estimated by 4 bytes each where they are not known (EPP:
    /// token-producer, estimate).
    #[must_use]
    pub fn tokens(&self) -> u32 {
        self.prompt_tokens.unwrap_or_else(|| tokens(self.chain.blocks))
    }

    /// Returns the tokens of the prompt that an endpoint has to compute if it holds `matched`
    /// blocks.
    #[must_use]
    pub fn uncached_tokens(&self, matched: u32) -> u32 {
        let blocks = self.chain.blocks;
        if matched == 0 || blocks == 0 {
            return self.tokens();
        }
        let missing = u64::from(blocks.saturating_sub(matched));
        let tokens = u64::from(self.tokens()) * missing / u64::from(blocks);
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }

    /// Returns the value of one of the headers asked for.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Returns the estimated tokens in that many blocks.
#[must_use]
pub fn tokens(blocks: u32) -> u32 {
    blocks.saturating_mul(BLOCK_TOKENS)
}

/// Estimated tokens per block of 256 bytes.
const BLOCK_TOKENS: u32 = 64;

/// Endpoints that a gateway allows. As in the EPP an address counts by its IP and its port is
/// ignored, so that all ports of a pod stay together (EPP: subset hint).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subset(Vec<IpAddr>);

impl Subset {
    /// Reads `ip` and `ip:port` between commas, as many as a pool has endpoints; what is neither
    /// stands for no endpoint.
    #[must_use]
    pub fn parse(list: &str) -> Self {
        let ip = |item: &str| {
            let item = item.trim();
            item.parse().or_else(|_| item.parse().map(|address: SocketAddr| address.ip())).ok()
        };
        let mut ips: Vec<IpAddr> = list.split(',').take(ENDPOINTS_MAX).filter_map(ip).collect();
        ips.sort_unstable();
        Self(ips)
    }

    /// True if an endpoint is among them.
    #[must_use]
    pub fn contains(&self, endpoint: SocketAddr) -> bool {
        self.0.binary_search(&endpoint.ip()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subset_goes_by_ip() {
        let subset = Subset::parse("10.0.0.2:8000, 10.0.0.1,[fd00::1]:9,nonsense,");
        let has = |address: &str| subset.contains(address.parse().unwrap());
        assert!(has("10.0.0.1:8000") && has("10.0.0.2:9999") && has("[fd00::1]:8000"));
        assert!(!has("10.0.0.3:8000"));
        assert!(!Subset::parse("").contains("10.0.0.1:1".parse().unwrap()));
    }

    #[test]
    fn what_is_cached_is_taken_off_in_proportion() {
        let chain = Chain { blocks: 4, ..Chain::default() };
        let mut request = InferenceRequest { chain, ..InferenceRequest::default() };
        assert_eq!([0, 1, 4, 9].map(|matched| request.uncached_tokens(matched)), [256, 192, 0, 0]);
        request.prompt_tokens = Some(100);
        assert_eq!([0, 1, 4].map(|matched| request.uncached_tokens(matched)), [100, 75, 0]);
        assert_eq!(InferenceRequest::default().uncached_tokens(0), 0);
    }
}
