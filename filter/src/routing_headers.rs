//! The headers of a request that bear on where it goes, beside its body.

use std::time::Duration;

use picker_core::{InferenceRequest, Slo};

use crate::host::Headers;

/// Milliseconds between tokens; the older name after the canonical one.
const SLO_TPOT_MS: [&str; 2] = ["x-llm-d-slo-tpot-ms", "x-slo-tpot-ms"];

/// Longest value of a header that plugins see, in bytes: names of profiles, tiers and endpoints fit.
const VALUE_BYTES_MAX: usize = 256;

/// The values that were read from the headers, kept until the body is whole.
#[derive(Debug, Default)]
pub(crate) struct RoutingHeaders {
    headers: Vec<(String, String)>,
    tpot: Option<Duration>,
}

impl RoutingHeaders {
    /// Reads the headers of these names.
    pub(crate) fn read<'a>(headers: &Headers, names: impl Iterator<Item = &'a str>) -> Self {
        let value = |name: &str| std::str::from_utf8(headers.last(name)?).ok();
        let asked = |name: &str| {
            let value = value(name).filter(|value| value.len() <= VALUE_BYTES_MAX)?;
            Some((name.to_owned(), value.to_owned()))
        };
        let tpot = SLO_TPOT_MS.iter().find_map(|name| value(name)?.trim().parse().ok());
        Self { headers: names.filter_map(asked).collect(), tpot: tpot.map(Duration::from_millis) }
    }

    /// Completes a request by these headers.
    pub(crate) fn complete(
        self,
        request: InferenceRequest,
        ttft: Option<Duration>,
    ) -> InferenceRequest {
        let Self { headers, tpot } = self;
        InferenceRequest { headers, slo: Slo { ttft, tpot }, ..request }
    }
}
