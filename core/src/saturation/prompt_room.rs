//! The prompts that low bands may still have computed, over all endpoints of a pool.

use super::Load;
use crate::model::Priority;

/// The room for prompts of low bands, of which each dispatch takes a part.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptRoom {
    /// The band that goes whatever prompts are computed, with all above it.
    highest: Priority,
    /// Endpoints with a free place.
    endpoints: Vec<Room>,
    /// Seconds of a usual prompt.
    usual: f64,
    /// Seconds of a prompt token.
    token: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Room {
    /// Seconds of prompts that may be added; endless while none is computed.
    left: f64,
    allowance: f64,
}

impl PromptRoom {
    /// Makes the room of endpoints with these loads, for bands below `highest`, where a usual prompt has so
    /// many tokens and a token takes so many seconds.
    #[must_use]
    pub fn new(loads: &[Load], highest: Priority, usual_tokens: f64, token: f64) -> Self {
        let open = loads.iter().filter(|load| load.free_places() > 0);
        let endpoints = open.map(|load| Room {
            left: load.prompt_room(),
            allowance: load.limit.map_or(f64::INFINITY, |limit| limit.allowance),
        });
        Self { highest, endpoints: endpoints.collect(), usual: usual_tokens * token, token }
    }

    /// True if a request of this priority may go: its band is the highest in use, or some endpoint has room
    /// for a usual prompt.
    pub(crate) fn admits(&self, priority: Priority) -> bool {
        priority >= self.highest || self.endpoints.iter().any(|room| room.left >= self.usual)
    }

    /// Accounts for a prompt, which goes where there is most room; a usual one where its tokens are not
    /// known.
    pub(crate) fn take(&mut self, tokens: u32) {
        let takes = if tokens == 0 { self.usual } else { f64::from(tokens) * self.token };
        let most = self.endpoints.iter_mut().max_by(|one, other| one.left.total_cmp(&other.left));
        if let Some(room) = most {
            let left = if room.left.is_finite() { room.left } else { room.allowance };
            room.left = left - takes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saturation::LearntLimit;

    #[test]
    fn an_endpoint_without_prompts_takes_any_and_others_what_their_allowance_leaves() {
        let load = |busy_for, in_flight| Load {
            in_flight,
            busy_for,
            limit: Some(LearntLimit { places: 8, allowance: 0.1, ..LearntLimit::default() }),
            ..Load::default()
        };
        let room = |loads: &[Load]| PromptRoom::new(loads, Priority(5), 1_000.0, 5e-5);
        let low = Priority(0);
        assert!(room(&[load(0.0, 3)]).admits(low));
        assert!(room(&[load(0.05, 3)]).admits(low));
        let mut full = room(&[load(0.06, 3), load(0.0, 8)]);
        assert!(!full.admits(low), "the other has no place");
        assert!(full.admits(Priority(5)) && full.admits(Priority(6)));
        full.take(9);
        let mut open = room(&[load(0.0, 3), load(0.0, 3)]);
        for _ in 0..4 {
            assert!(open.admits(low));
            open.take(0);
        }
        assert!(!open.admits(low), "two on each are all that 0.1 s allow");
    }
}
