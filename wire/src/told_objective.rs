//! Objectives of a gateway's configuration, which the scraper's page names beside their priorities.

use picker_core::{Objective, flow::Priority};
use serde::{Deserialize, Serialize};

use crate::names::clip;

/// Bytes of a name that are told.
const NAME_BYTES_MAX: usize = 128;

/// Objectives of a configuration that are told: names beside the priorities of a page, of which it has a
/// handful.
pub const OBJECTIVES_TOLD_MAX: usize = 64;

/// Layout of an [`Objective`].
#[derive(Serialize, Deserialize)]
pub(crate) struct ObjectiveRecord<'a> {
    name: &'a str,
    priority: i32,
}

impl<'a> ObjectiveRecord<'a> {
    pub(crate) fn from_objective(objective: &'a Objective) -> Self {
        Self { name: clip(&objective.name, NAME_BYTES_MAX), priority: objective.priority.0 }
    }

    pub(crate) fn into_objective(self) -> Objective {
        Objective {
            name: clip(self.name, NAME_BYTES_MAX).to_owned(),
            priority: Priority(self.priority),
        }
    }
}
