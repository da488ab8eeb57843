//! Chooses where one request goes: candidates, a handler, its profiles.

mod decision;
mod picker;

pub use decision::{Decision, NoPick, Prefill, Sight};
pub use picker::{Order, Picker};
