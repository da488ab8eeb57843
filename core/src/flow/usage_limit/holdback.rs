//! Ceilings that hold capacity back for higher bands.

use std::{collections::BTreeMap, error::Error, fmt};

use super::Standing;
use crate::model::Priority;

/// Ceilings that fall from band to band.
#[derive(Clone, Debug, PartialEq)]
pub struct Holdback(Ceilings);

#[derive(Clone, Debug, PartialEq)]
enum Ceilings {
    Spread { domain: Domain, lowest: f64, highest: f64 },
    Explicit(BTreeMap<Priority, f64>),
}

/// The scale by which a band's ceiling lies between the lowest and the highest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Domain {
    /// By the place among the bands.
    #[default]
    Rank,
    /// By the priority as a number.
    Value,
}

/// Ceilings that make no sense.
#[derive(Clone, Debug, PartialEq)]
pub enum InvalidCeiling {
    /// A ceiling is not between 0 and 1.
    OutOfRange(f64),
    /// The first, which should be lower, is not below the second.
    NotBelow(f64, f64),
    /// The ceiling of this band is below that of a lower band.
    Rising(Priority),
}

impl Holdback {
    /// Returns a band's ceiling (EPP: priority-holdback-policy, where a band that is alone gets the
    /// highest ceiling).
    pub(super) fn ceiling(&self, band: Standing) -> f64 {
        match &self.0 {
            Ceilings::Explicit(ceilings) => ceilings.get(&band.priority).copied().unwrap_or(0.0),
            Ceilings::Spread { highest, .. } if band.bands < 2 => *highest,
            Ceilings::Spread { domain, lowest, highest } => {
                let height = match domain {
                    Domain::Rank => 1.0 - f64::from(band.rank) / f64::from(band.bands - 1),
                    Domain::Value => {
                        let above =
                            |floor: Priority, of: Priority| f64::from(of.0) - f64::from(floor.0);
                        above(band.lowest, band.priority) / above(band.lowest, band.highest)
                    }
                };
                lowest + height * (highest - lowest)
            }
        }
    }

    /// Spreads ceilings evenly from `lowest`, of the lowest band, to `highest`.
    ///
    /// # Errors
    /// If one is not between 0 and 1, or `lowest` not below `highest`.
    pub fn spread(domain: Domain, lowest: f64, highest: f64) -> Result<Self, InvalidCeiling> {
        in_range(lowest)?;
        in_range(highest)?;
        if lowest >= highest {
            return Err(InvalidCeiling::NotBelow(lowest, highest));
        }
        Ok(Self(Ceilings::Spread { domain, lowest, highest }))
    }

    /// Returns a ceiling for each band by name; a band that has none stays shut.
    ///
    /// # Errors
    /// If one is not between 0 and 1, or above that of a higher band.
    pub fn explicit(ceilings: BTreeMap<Priority, f64>) -> Result<Self, InvalidCeiling> {
        let mut below = 0.0;
        for (&priority, &ceiling) in &ceilings {
            in_range(ceiling)?;
            if ceiling < below {
                return Err(InvalidCeiling::Rising(priority));
            }
            below = ceiling;
        }
        Ok(Self(Ceilings::Explicit(ceilings)))
    }
}

fn in_range(ceiling: f64) -> Result<(), InvalidCeiling> {
    if (0.0..=1.0).contains(&ceiling) { Ok(()) } else { Err(InvalidCeiling::OutOfRange(ceiling)) }
}

impl fmt::Display for InvalidCeiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange(found) => write!(f, "a ceiling is {found}: allowed is 0 to 1"),
            Self::NotBelow(lowest, highest) => {
                write!(f, "minCeiling is {lowest}: allowed is below maxCeiling, {highest}")
            }
            Self::Rising(priority) => write!(
                f,
                "the ceiling of priority {priority} is below that of a lower priority: \
                 allowed is the same or higher"
            ),
        }
    }
}

impl Error for InvalidCeiling {}
