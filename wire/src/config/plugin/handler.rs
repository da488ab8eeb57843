//! The parameters of profile handlers and of their deciders.

use picker_core::{Decider, Disagg, Handler, StageOrder};

use super::{
    Plugin, Plugins,
    kind::{MEDIA_DECIDER, PREFIX_BASED},
};
use crate::config::{
    At, ConfigError,
    at::{Keys, Object},
    identity,
};

pub(super) fn read(
    default: Handler,
    entry: &Object<'_>,
    plugins: &Plugins<'_>,
) -> Result<Handler, ConfigError> {
    Ok(match default {
        Handler::Single => entry.child("parameters", &[]).map(|_| Handler::Single)?,
        Handler::Header { header, default } => {
            let parameters = entry.child("parameters", &["headerName", "defaultProfile"])?;
            let name = |at: &At<'_>| at.text().map(str::to_owned);
            Handler::Header {
                header: parameters.read("headerName", header, identity::header)?,
                default: parameters.read("defaultProfile", default, name)?,
            }
        }
        Handler::DataParallel { primary_port } => {
            let parameters = entry.child("parameters", &["primaryPort"])?;
            let port = parameters.read("primaryPort", u32::from(primary_port), |at| {
                at.whole(1, u32::from(u16::MAX))
            })?;
            Handler::DataParallel { primary_port: u16::try_from(port).unwrap_or(primary_port) }
        }
        Handler::Disagg(default) => Handler::Disagg(disagg(default, entry, plugins)?),
    })
}

/// Parameters of `disagg-profile-handler` and of `pd-profile-handler` before they had objects in them.
const FLAT: [&str; 7] = [
    "decodeProfile",
    "prefillProfile",
    "encodeProfile",
    "deciderPluginName",
    "prefillDeciderPluginName",
    "encodeDeciderPluginName",
    THRESHOLD,
];
/// Characters of a prompt that are not cached and from which on it is computed apart (llm-d 0.2 to 0.6).
const THRESHOLD: &str = "threshold";
/// Bytes of a token, by which KServe makes tokens of that threshold too.
const TOKEN_BYTES: u32 = 4;
/// Parameters of `pd-profile-handler` without effect.
const VOID: [(&str, &str); 4] = [
    ("hashBlockSize", "blocks are of 64 tokens, as they are in EPPs from llm-d 0.6 on"),
    ("prefixPluginType", INDEX),
    ("prefixPluginName", INDEX),
    ("primaryPort", "ranks of a pod are reached with data-parallel-profile-handler alone"),
];
const INDEX: &str = "there is one prefix index for each endpoint";

/// Reads parameters by the names of `disagg-profile-handler`, or by those of its beginnings.
fn disagg(
    default: Disagg,
    entry: &Object<'_>,
    plugins: &Plugins<'_>,
) -> Result<Disagg, ConfigError> {
    let kind = entry.get("type").and_then(|at| at.text().ok());
    let is_older = kind == Some("pd-profile-handler");
    let known: &[&str] = match is_older {
        true => &["decodeProfile", "prefillProfile", "deciderPluginName"],
        false => &["stageOrder", "profiles", "deciders"],
    };
    let keys = Keys { known, older: &FLAT, void: &VOID };
    let parameters = entry.child_with("parameters", &keys)?;
    let nested = ["profiles", "deciders"].into_iter().find(|key| parameters.get(key).is_some());
    let flat = FLAT.into_iter().find(|key| parameters.get(key).is_some());
    match (nested, flat) {
        (Some(nested), Some(flat)) => Err(parameters.problem(format!(
            "must not have {flat} beside {nested}; allowed: the older parameters alone, or \
             profiles and deciders"
        ))),
        (None, Some(_)) => older(default, &parameters, plugins, is_older),
        (None, None) if is_older => older(default, &parameters, plugins, is_older),
        (Some(_) | None, None) => staged(default, &parameters, plugins),
    }
}

/// Reads parameters from before llm-d 0.7, as KServe converts them.
fn older(
    default: Disagg,
    parameters: &Object<'_>,
    plugins: &Plugins<'_>,
    is_pd: bool,
) -> Result<Disagg, ConfigError> {
    let name = |at: &At<'_>| at.text().map(str::to_owned);
    let decider = |at: &At<'_>| plugins.find::<Decider>(at).map(Some);
    let threshold = parameters.read(THRESHOLD, None, |at| at.whole(0, u32::MAX).map(Some))?;
    let by_threshold = threshold.map(|characters| match characters {
        0 => Decider::Always,
        _ => Decider::PrefixBased { uncached: characters.div_ceil(TOKEN_BYTES), prompt: 0 },
    });
    let named = ["prefillDeciderPluginName", "deciderPluginName"];
    let named = named.into_iter().find_map(|key| parameters.get(key));
    if named.is_some() {
        parameters.note_all(&[(THRESHOLD, "the decider that is named counts")]);
    }
    if parameters.get("prefillDeciderPluginName").is_some() {
        parameters.note_all(&[("deciderPluginName", "prefillDeciderPluginName counts")]);
    }
    let prefill_decider = match named {
        Some(at) => parameters.settle(decider(&at), None)?,
        // As in the EPP, the one of that name, and never without one. The first versions knew no
        // deciders: without a threshold every prompt was computed apart.
        None if is_pd => {
            by_threshold.or_else(|| plugins.named(PREFIX_BASED)).or(Some(Decider::Always))
        }
        None => by_threshold,
    };
    Ok(Disagg {
        decode: parameters.read("decodeProfile", default.decode, name)?,
        prefill: parameters.read("prefillProfile", default.prefill, name)?,
        encode: parameters.read("encodeProfile", default.encode, name)?,
        prefill_decider,
        encodes_media: parameters
            .read("encodeDeciderPluginName", default.encodes_media, |at| media(at, plugins))?,
        order: default.order,
    })
}

fn media(at: &At<'_>, plugins: &Plugins<'_>) -> Result<bool, ConfigError> {
    let is_it = *plugins.refer(at)? == Plugin::MediaDecider;
    if is_it { Ok(true) } else { Err(at.refuse_name(&[MEDIA_DECIDER])) }
}

fn staged(
    default: Disagg,
    parameters: &Object<'_>,
    plugins: &Plugins<'_>,
) -> Result<Disagg, ConfigError> {
    let name = |at: &At<'_>| at.text().map(str::to_owned);
    let decider = |at: &At<'_>| plugins.find::<Decider>(at).map(Some);
    let profiles = parameters.child("profiles", &["decode", "prefill", "encode"])?;
    let deciders = parameters.child("deciders", &["prefill", "encode"])?;
    let orders =
        [("decode-first", StageOrder::DecodeFirst), ("prefill-first", StageOrder::PrefillFirst)];
    let order = parameters.read("stageOrder", default.order, |at| at.one_of(&orders))?;
    let prefill_decider = deciders.read("prefill", None, decider)?;
    if order == StageOrder::PrefillFirst && prefill_decider.is_some() {
        return Err(parameters.refuse(
            "stageOrder",
            "prefill-first",
            "must not go with a prefill decider, which asks what the decode pod has cached; \
             allowed: decode-first",
        ));
    }
    Ok(Disagg {
        decode: profiles.read("decode", default.decode, name)?,
        prefill: profiles.read("prefill", default.prefill, name)?,
        encode: profiles.read("encode", default.encode, name)?,
        prefill_decider,
        encodes_media: deciders.read("encode", default.encodes_media, |at| media(at, plugins))?,
        order,
    })
}

pub(super) fn decider(default: Decider, entry: &Object<'_>) -> Result<Decider, ConfigError> {
    let Decider::PrefixBased { uncached, prompt } = default else {
        return entry.child("parameters", &[]).map(|_| default);
    };
    let parameters = entry.child("parameters", &["nonCachedTokens", "promptTokens"])?;
    let tokens = |key, default| parameters.read(key, default, |at: &At<'_>| at.whole(0, u32::MAX));
    Ok(Decider::PrefixBased {
        uncached: tokens("nonCachedTokens", uncached)?,
        prompt: tokens("promptTokens", prompt)?,
    })
}
