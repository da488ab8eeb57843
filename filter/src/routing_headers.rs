//! What a request's headers say of where it should go, beside its body.

use std::time::Duration;

use picker_core::{InferenceRequest, Slo};

use crate::{
    host::{self, Headers},
    identity::last,
};

/// Milliseconds; the older name after the canonical one.
const SLO_TPOT_MS: [&str; 2] = ["x-llm-d-slo-tpot-ms", "x-slo-tpot-ms"];

/// Headers that a decision sets. From a client they would make a pod talk to whomever it names.
const OURS: [&str; 3] =
    ["x-prefiller-host-port", "x-encoder-hosts-ports", "x-data-parallel-host-port"];

/// Bytes of a header's value that plugins see: names of profiles, tiers and endpoints fit.
const VALUE_BYTES_MAX: usize = 256;

/// What was read of the headers, until the body is whole.
#[derive(Debug, Default)]
pub(crate) struct RoutingHeaders {
    headers: Vec<(String, String)>,
    tpot: Option<Duration>,
}

impl RoutingHeaders {
    /// Reads those of these names, and removes what clients must not set. While Envoy still holds the
    /// headers.
    pub(crate) fn read<'a>(headers: &Headers, names: impl Iterator<Item = &'a str>) -> Self {
        for name in OURS {
            if last(headers, name).is_some() {
                host::remove_request_header(name);
            }
        }
        let value = |name: &str| std::str::from_utf8(last(headers, name)?).ok();
        let asked = |name: &str| {
            let value = value(name).filter(|value| value.len() <= VALUE_BYTES_MAX)?;
            Some((name.to_owned(), value.to_owned()))
        };
        let tpot = SLO_TPOT_MS.iter().find_map(|name| value(name)?.trim().parse().ok());
        Self { headers: names.filter_map(asked).collect(), tpot: tpot.map(Duration::from_millis) }
    }

    /// The request with them.
    pub(crate) fn complete(
        self,
        ask: InferenceRequest,
        ttft: Option<Duration>,
    ) -> InferenceRequest {
        let Self { headers, tpot } = self;
        InferenceRequest { headers, slo: Slo { ttft, tpot }, ..ask }
    }
}
