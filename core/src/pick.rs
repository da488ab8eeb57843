//! Chooses where one request goes: candidates, a handler, its profiles.

mod decision;
mod picker;

pub use decision::{EndpointObservation, PickError, Prefill, SchedulingResult};
pub use picker::{Order, Picker};
