//! The standing of a gateway among the others.

use std::time::Duration;

/// Age of a gateway's last report above which it is behind: idle pools are exchanged four times a second.
const AGE_MAX: Duration = Duration::from_secs(1);

/// The standing of a gateway in the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// There is no other gateway, or this one has not replied yet.
    Alone,
    /// The gateway goes by the exchange that another scraper runs.
    Elsewhere,
    /// The gateway tells the others nothing.
    Apart {
        /// Time between two pushes, if that is too long for an exchange; else the gateway is of an older
        /// version.
        interval: Option<Duration>,
    },
    /// The gateway's last report is this old, which is too old.
    Behind(Duration),
    /// The gateway's last report is this old.
    InStep(Duration),
}

impl Standing {
    /// Returns the standing of a gateway by the age of its last report.
    pub(super) fn by_age(age: Duration) -> Self {
        if age > AGE_MAX { Self::Behind(age) } else { Self::InStep(age) }
    }
}

/// Returns how many of the gateways with these standings know of each other, in words; `None` where each is
/// alone.
pub(super) fn in_step(standings: &[Standing]) -> Option<String> {
    let company = standings.iter().filter(|it| **it != Standing::Alone).count();
    let ages = standings.iter().filter_map(|it| match it {
        Standing::InStep(age) => Some(*age),
        Standing::Alone | Standing::Elsewhere | Standing::Apart { .. } | Standing::Behind(_) => {
            None
        }
    });
    let elsewhere = standings.iter().filter(|it| **it == Standing::Elsewhere).count();
    let ages: Vec<Duration> = ages.collect();
    let oldest = ages.iter().max().map_or(0, Duration::as_millis);
    match (company, ages.len()) {
        (0, _) => None,
        (all, _) if all == elsewhere => {
            Some(format!("{all} gateways go by the exchange of another scraper"))
        }
        (all, known) if all == known => Some(format!(
            "{all} gateways are in step: what they know of each other is at most {oldest} ms old"
        )),
        (all, known) => Some(format!("{known} of {all} gateways are in step")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_how_many_are_in_step() {
        let at = |ms| Standing::by_age(Duration::from_millis(ms));
        let apart = Standing::Apart { interval: None };
        let said = [
            in_step(&[Standing::Alone]),
            in_step(&[at(40), at(60)]),
            in_step(&[at(40), at(1_001), apart]),
            in_step(&[Standing::Elsewhere; 2]),
        ];
        let said = said.map(Option::unwrap_or_default);
        insta::assert_snapshot!(said.join("\n"), @r"

        2 gateways are in step: what they know of each other is at most 60 ms old
        1 of 3 gateways are in step
        2 gateways go by the exchange of another scraper
        ");
    }
}
