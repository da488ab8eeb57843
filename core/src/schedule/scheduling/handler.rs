//! Handlers: the choice of the profiles that run.

use std::net::SocketAddr;

use crate::{
    model::SchedulingResult,
    schedule::{Disagg, Needs},
};

/// The choice of the profiles that run for a request (EPP: ProfileHandler).
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Handler {
    /// The only one (EPP: single-profile-handler).
    #[default]
    Single,
    /// The one that a header names, or the only one (EPP: header-profile-handler).
    Header {
        /// The header, in lower case.
        header: String,
        /// The profile of requests without it.
        default: String,
    },
    /// The only one; the request goes to the pod's main port and is told the rank that was chosen
    /// (EPP: data-parallel-profile-handler).
    DataParallel {
        /// The port behind which all ranks of a pod are.
        primary_port: u16,
    },
    /// A profile for each stage of disaggregated serving (EPP: disagg-profile-handler,
    /// pd-profile-handler).
    Disagg(Disagg),
}

impl Handler {
    /// All plugin types.
    pub const NAMES: &[&str] = &[
        "single-profile-handler",
        "header-profile-handler",
        "data-parallel-profile-handler",
        "disagg-profile-handler",
        "pd-profile-handler",
    ];

    /// Returns the handler of that type with its default parameters.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "single-profile-handler" => Self::Single,
            "header-profile-handler" => {
                Self::Header { header: "epp-profile".to_owned(), default: "decode".to_owned() }
            }
            "data-parallel-profile-handler" => Self::DataParallel { primary_port: 8_000 },
            "disagg-profile-handler" | "pd-profile-handler" => Self::Disagg(Disagg::default()),
            _ => return None,
        })
    }

    /// Returns what the handler reads of a request.
    pub(super) fn needs(&self) -> Needs<'_> {
        match self {
            Self::Header { header, .. } => Needs::header(header),
            Self::Single | Self::DataParallel { .. } | Self::Disagg(_) => Needs::NOTHING,
        }
    }
}

/// The header with the rank that is meant.
const RANK: &str = "x-data-parallel-host-port";

/// Sends to the main port what was chosen by rank. The others of the list are main ports as such:
/// if Envoy goes on to another pod the header still names a rank of the first, so that no rank of
/// that pod is meant.
pub(super) fn to_primary(decision: &mut SchedulingResult, primary_port: u16) {
    let mut ranked = std::mem::take(&mut decision.ranked).into_iter();
    let Some(rank) = ranked.next() else { return };
    let primary = |address: SocketAddr| SocketAddr::new(address.ip(), primary_port);
    let through = primary(rank);
    decision.headers.push((RANK, rank.to_string()));
    decision.through = Some(through);
    decision.ranked.push(rank);
    for other in ranked.map(primary) {
        if other != through && !decision.ranked.contains(&other) {
            decision.ranked.push(other);
        }
    }
}
