//! The identity of a request: the objective and the fairness id that authentication put into the headers,
//! with the wishes that the client may add.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use picker_core::{ClientId, Subset, flow::FairnessId};
use wire::{
    body::{MODEL_BYTES_MAX, Video},
    config::{self, FairnessKey},
    jwt,
};

use crate::host::{self, Headers};

/// Longest wait as a Go duration; may only shorten the one that the operator set (EPP v0.11).
const TTL: [&str; 1] = ["x-llm-d-inference-ttl"];

/// Milliseconds to the first token; the older name after the canonical one.
const SLO_TTFT_MS: [&str; 2] = ["x-llm-d-slo-ttft-ms", "x-slo-ttft-ms"];

/// The model to be sent to; the older name after the canonical one.
const MODEL_REWRITE: [&str; 2] = ["x-llm-d-model-name-rewrite", "x-gateway-model-name-rewrite"];

/// Endpoints between commas. The gateway writes it for this filter, so that it does not go on to the
/// model server.
const SUBSET: &str = "x-gateway-destination-endpoint-subset";

/// Namespace of the same in the request's dynamic metadata, where only filters can write (EPP: subset hint).
const SUBSET_METADATA: &str = "envoy.lb.subset_hint";

/// The bits of an IPv6 address that a provider gives to a customer, who chooses the others.
const NETWORK: u128 = u128::MAX << 64;

/// Prefix of the headers about a video.
const VIDEO: &str = "x-llm-d-video-";

/// The sender of a request and its wishes, as far as the headers tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Name of the InferenceObjective, which gives the priority.
    pub(crate) objective: Option<String>,
    /// The tenant between which and others capacity is shared.
    pub(crate) fairness_id: Option<String>,
    /// The name that authentication gave the client, and no client can choose.
    authenticated: Option<String>,
    /// Longest time that the request may wait for its turn.
    pub(crate) ttl: Option<Duration>,
    /// Time within which the client wants the first token.
    pub(crate) slo_ttft: Option<Duration>,
    /// The model that the request is to be sent to, whatever its body says.
    pub(crate) model_rewrite: Option<String>,
    /// The endpoints that the gateway allows.
    pub(crate) subset: Option<Subset>,
    /// Length and resolution of its video.
    pub(crate) video: Video,
}

impl Identity {
    /// Reads an identity from the headers, by the first configured name that is present.
    pub(crate) fn read(headers: &Headers, config: &config::Identity) -> Self {
        let payload = config.jwt.as_ref().map(|jwt| (headers.last(&jwt.payload_header), jwt));
        let user = payload.and_then(|(payload, jwt)| jwt::claim(payload?, &jwt.claim));
        // An AuthPolicy's objective comes before the token's.
        let objective = first_present(headers, &config.objective_headers).map(|(_, name)| name);
        let by_token =
            payload.map(|(payload, _)| jwt::objective(payload.is_some(), user.as_deref()));
        let objective = objective.or_else(|| by_token.map(str::to_owned));
        let (fairness_id, authenticated) = match config.fairness_key {
            FairnessKey::Header => match first_present(headers, &config.fairness_headers) {
                Some((header, tenant)) if config.trusts(header) => {
                    (Some(tenant.clone()), Some(tenant))
                }
                found => (found.map(|(_, tenant)| tenant), user),
            },
            FairnessKey::JwtClaim => (user.clone(), user),
            FairnessKey::ClientAddress => (client_network(), user),
        };
        Self {
            objective,
            fairness_id,
            authenticated,
            ttl: TTL.iter().find_map(|name| go_duration(headers.last(name)?)),
            slo_ttft: SLO_TTFT_MS.iter().find_map(|name| millis(headers.last(name)?)),
            model_rewrite: MODEL_REWRITE.iter().find_map(|name| model(headers.last(name)?)),
            subset: subset_hint(headers),
            video: video(headers),
        }
    }

    /// The tenant by which the prompt is kept apart from those of others; `None` where all share.
    pub(crate) fn salt(&self, config: &config::Identity) -> Option<&str> {
        config.salt_by_tenant.then(|| self.fairness_id.as_deref().unwrap_or_default())
    }

    /// The tenant that alone goes on from what it made: the name that authentication gave it. Where nothing vouches for
    /// anyone, all are one.
    pub(crate) fn owner(&self) -> &str {
        self.authenticated.as_deref().unwrap_or_default()
    }

    /// Names the client, for failures of which the request may be the cause, by what it cannot choose: the name
    /// that authentication gave it, or else its address. A name that any client may take is none. An
    /// address costs a call of the host, so it is read for failures alone.
    pub(crate) fn client(&self) -> ClientId {
        let name = self.authenticated.clone().or_else(client_network);
        ClientId::new(&name.unwrap_or_default())
    }
}

/// Reads the address of the client, as far as it can't choose it: of an IPv6 address the network of 64 bits,
/// all addresses of which are one customer's.
fn client_network() -> Option<String> {
    let network = match host::client_address()? {
        IpAddr::V4(address) => return Some(address.to_string()),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK),
    };
    Some(format!("{network}/64"))
}

/// Reads a text; `None` if it is empty or no UTF-8.
fn text(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Reads the name of a model; `None` if it is none, or longer than such names are.
fn model(value: &[u8]) -> Option<String> {
    text(value).filter(|name| name.len() <= MODEL_BYTES_MAX)
}

/// Reads the headers that a client sends with a video (EPP: token-producer, estimate).
fn video(headers: &Headers) -> Video {
    // Almost no request has one.
    if !headers.have_prefix(VIDEO) {
        return Video::default();
    }
    let header = |name| std::str::from_utf8(headers.last(name)?).ok();
    // What is no number from 0 on says nothing.
    let number = |name, default| {
        let number: Option<f32> = header(name).and_then(|it| it.parse().ok());
        number.filter(|number| *number >= 0.0).unwrap_or(default)
    };
    let resolution = header("x-llm-d-video-resolution").and_then(|it| it.split_once('x'));
    let size = resolution.and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    Video::of(
        number("x-llm-d-video-duration-seconds", Video::SECONDS),
        number("x-llm-d-video-fps", Video::FRAMES_PER_SECOND),
        size.unwrap_or(Video::SIZE),
    )
}

/// Reads the endpoints that the gateway allows, from the header if it was trusted and is still there, or from
/// what a filter in front has left; an empty hint is none (EPP: subset hint).
pub(crate) fn subset_hint(headers: &Headers) -> Option<Subset> {
    let header = headers.last(SUBSET).and_then(text);
    if headers.has(SUBSET) {
        host::remove_request_header(SUBSET);
    }
    let hint = header.or_else(|| text(&host::filter_metadata(SUBSET_METADATA, SUBSET)));
    hint.map(|list| Subset::parse(&list))
}

fn go_duration(value: &[u8]) -> Option<Duration> {
    config::parse_duration(std::str::from_utf8(value).ok()?.trim())
}

fn millis(value: &[u8]) -> Option<Duration> {
    std::str::from_utf8(value).ok()?.trim().parse().ok().map(Duration::from_millis)
}

/// Reads the first of `names` that the request carries, with its value. Of a repeated header the LAST value
/// counts: authentication appends its own behind any that a client sent.
fn first_present<'a>(headers: &Headers, names: &'a [String]) -> Option<(&'a str, String)> {
    let (name, value) = names.iter().find_map(|name| Some((name, headers.last(name)?)))?;
    // Kept for as long as the request lives. No objective has a longer name, and tenants are told apart by as much.
    let value = value.get(..FairnessId::LEN_MAX).unwrap_or(value);
    // An id that is no UTF-8 is as good as another, as long as equal bytes give equal ids.
    Some((name, String::from_utf8_lossy(value).into_owned()))
}
