//! Which profiles run.

use super::Disagg;
use crate::Decision;

/// Which profiles run for a request (EPP: ProfileHandler).
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
    /// One for each stage of disaggregated serving (EPP: disagg-profile-handler,
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

    /// The handler of that type with its default parameters.
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
}

/// The header with the rank that is meant.
const RANK: &str = "x-data-parallel-host-port";

/// Sends to the main port what was chosen by rank. Two ranks of one pod are one address then.
pub(super) fn to_primary(decision: &mut Decision, primary_port: u16) {
    if let Some(rank) = decision.ranked.first() {
        decision.headers.push((RANK, rank.to_string()));
    }
    let mut seen = Vec::new();
    for mut address in std::mem::take(&mut decision.ranked) {
        address.set_port(primary_port);
        if !seen.contains(&address) {
            seen.push(address);
        }
    }
    decision.ranked = seen;
}
