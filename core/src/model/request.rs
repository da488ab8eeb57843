//! A request, as far as the choice of an endpoint depends on it.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{BLOCK_BYTES, BytesPerToken, Chain, ClientId, ENDPOINTS_MAX, Priority, PromptHead};

/// A request, read and reduced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InferenceRequest {
    /// The request's prompt. An empty chain goes by load alone.
    pub chain: Chain,
    /// Sections at the prompt's head, of a chat with tools, documents or options of its template. In a
    /// box, since most have none.
    pub head: Option<Box<PromptHead>>,
    /// The model or LoRA adapter that it is sent to, after rewrites; empty if it names none.
    pub model: String,
    /// The request's priority; below 0 it may be turned away.
    pub priority: Priority,
    /// Tokens of the prompt where they are known, or estimated by what the model's prompts had before.
    pub prompt_tokens: Option<u32>,
    /// Images, videos and sounds in its prompt.
    pub media: u32,
    /// Most tokens of output, over all choices, if it says so.
    pub output_max: Option<u32>,
    /// Tenant that asks, by which the lengths of answers are learnt; the default for one without a name.
    pub tenant: ClientId,
    /// Tokens that the media count in the chain, at [`BytesPerToken::default`] each.
    pub media_tokens: u32,
    /// Bytes of the prompt's text; `None` where something else is in the prompt too, or the body has only
    /// a part of it: its tokens say nothing of the text then.
    pub text_bytes: Option<u32>,
    /// The client's own word for its session, where the body has one.
    pub session: Option<String>,
    /// The headers that [`crate::Config::header_names`] asks for, as far as it has them; the names
    /// in lower case.
    pub headers: Vec<(String, String)>,
    /// Times within which tokens are wanted.
    pub slo: Slo,
    /// The endpoints that it may go to, where the gateway narrows the pool.
    pub subset: Option<Subset>,
    /// The endpoint that keeps what the request goes on from: it answers the request if it is there.
    pub home: Option<SocketAddr>,
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
    /// Returns the prompt's tokens, estimated by 4 bytes each where nothing is known of them (EPP:
    /// token-producer, estimate).
    #[must_use]
    pub fn tokens(&self) -> u32 {
        self.prompt_tokens.unwrap_or_else(|| self.estimate(BytesPerToken::default()))
    }

    /// Returns the prompt's tokens by what its text is expected to have of them.
    #[must_use]
    pub fn estimate(&self, bytes_per_token: BytesPerToken) -> u32 {
        let bytes = bytes(self.chain.blocks);
        // A chain that ends at its limit may have counted but a part of the media.
        let media = BytesPerToken::default().bytes(self.media_tokens.into()).min(bytes);
        let text = bytes_per_token.tokens(bytes - media);
        text.saturating_add(BytesPerToken::default().tokens(media))
    }

    /// Returns the tokens of the prompt that an endpoint has that holds `matched` blocks.
    #[must_use]
    pub fn cached_tokens(&self, matched: u32) -> u32 {
        self.tokens().saturating_sub(self.uncached_tokens(matched))
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

/// Returns the bytes that so many blocks stand for.
fn bytes(blocks: u32) -> u64 {
    u64::from(blocks) * u64::try_from(BLOCK_BYTES).unwrap_or(0)
}

/// The size of a prompt in bytes, by which the usage in its answer is learnt from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PromptSize {
    /// Model that it was sent to; empty for one that is not known, or has too long a name.
    pub model: String,
    /// As in [`InferenceRequest::text_bytes`].
    pub text_bytes: Option<u32>,
    /// Blocks of its chain.
    pub blocks: u32,
}

impl PromptSize {
    /// Bytes of a model's name that are remembered: a client may make up names of any length.
    pub const MODEL_BYTES_MAX: usize = 255;

    /// Takes the size out of a request, which has no use for its model any more.
    pub(crate) fn take(request: &mut InferenceRequest) -> Self {
        let mut model = std::mem::take(&mut request.model);
        if model.len() > Self::MODEL_BYTES_MAX {
            model = String::new();
        }
        Self { model, text_bytes: request.text_bytes, blocks: request.chain.blocks }
    }
}

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
        assert_eq!([0, 1, 4].map(|matched| request.cached_tokens(matched)), [0, 25, 100]);
        assert_eq!(InferenceRequest::default().uncached_tokens(0), 0);
    }

    #[test]
    fn bytes_of_text_become_tokens_and_media_say_their_own() {
        let chain = Chain { blocks: 8, ..Chain::default() };
        let mut request = InferenceRequest { chain, ..InferenceRequest::default() };
        let estimates = |request: &InferenceRequest| {
            [2.0, 4.0, 8.0].map(|bytes| request.estimate(BytesPerToken::new(bytes)))
        };
        assert_eq!(estimates(&request), [1_024, 512, 256]);
        request.media_tokens = 256;
        assert_eq!(estimates(&request), [768, 512, 384], "half of it is an image");
        request.media_tokens = u32::MAX;
        assert_eq!(estimates(&request), [512; 3], "an image beyond the limit of the chain");
    }

    #[test]
    fn a_long_name_of_a_model_is_not_kept() {
        for (bytes, kept) in [(255, 255), (256, 0), (1 << 20, 0)] {
            let model = "m".repeat(bytes);
            let mut request = InferenceRequest { model, ..InferenceRequest::default() };
            assert_eq!(PromptSize::take(&mut request).model.len(), kept);
        }
    }
}
