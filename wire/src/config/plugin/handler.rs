//! The parameters of profile handlers and of their deciders.

use picker_core::{Decider, Disagg, Handler, StageOrder};

use super::{
    Plugin, Plugins,
    kind::{MEDIA_DECIDER, PREFIX_BASED},
};
use crate::config::{At, ConfigError, at::Object, identity};

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

/// Reads parameters by the names of `disagg-profile-handler`, or by those of `pd-profile-handler`
/// before it.
fn disagg(
    default: Disagg,
    entry: &Object<'_>,
    plugins: &Plugins<'_>,
) -> Result<Disagg, ConfigError> {
    let kind = entry.get("type").and_then(|at| at.text().ok());
    let name = |at: &At<'_>| at.text().map(str::to_owned);
    let decider = |at: &At<'_>| plugins.find::<Decider>(at).map(Some);
    if kind == Some("pd-profile-handler") {
        let known = ["decodeProfile", "prefillProfile", "deciderPluginName"];
        let parameters = entry.child("parameters", &known)?;
        return Ok(Disagg {
            decode: parameters.read("decodeProfile", default.decode, name)?,
            prefill: parameters.read("prefillProfile", default.prefill, name)?,
            prefill_decider: match parameters.get("deciderPluginName") {
                Some(at) => decider(&at)?,
                // As in the EPP, the one of that name, and never without one.
                None => plugins.named(PREFIX_BASED),
            },
            ..Disagg::default()
        });
    }
    let parameters = entry.child("parameters", &["stageOrder", "profiles", "deciders"])?;
    let profiles = parameters.child("profiles", &["decode", "prefill", "encode"])?;
    let deciders = parameters.child("deciders", &["prefill", "encode"])?;
    let media = |at: &At<'_>| {
        let is_it = *plugins.refer(at)? == Plugin::MediaDecider;
        if is_it { Ok(true) } else { Err(at.refuse_name(&[MEDIA_DECIDER])) }
    };
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
        encodes_media: deciders.read("encode", default.encodes_media, media)?,
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
