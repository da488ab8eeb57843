//! Requests that are refused, and their answers: sent when the rest of the body has come, as many clients write all that
//! they have before they read.

use std::{rc::Rc, time::Duration};

use proxy_wasm::types::Action;
use wire::{config::Hold, tally::ErrorCode};

use super::{
    Stream,
    phase::{Asked, Next, Phase, Placed, RefusedRequest, Refusing},
    placing,
};
use crate::{
    bodies::{self, DISCARDED_MAX},
    host,
    models::Models,
    refusal::Refusal,
    stats,
};

impl Stream {
    /// Refuses a request in the place of its pool. Where the picker only looks on, the request goes on instead.
    pub(super) fn refuse(&self, refusal: Refusal, placed: Placed) -> Next {
        if !self.steers() {
            stats::count_overruled(&placed.pool);
            return placing::sent(placed, None, Duration::ZERO);
        }
        let status = refusal.status();
        stats::count_refused(&placed.pool, status);
        let code = ErrorCode::from_status(status);
        Next::refusing(Refusing {
            refusal,
            dialect: placed.asked.dialect,
            reply_to: placed.asked.reply_to.clone(),
            refused: RefusedRequest { code, placed: Some(Box::new(placed)) },
            discarded: 0,
        })
    }

    /// Refuses a request before its pool is known. The first that it may be for counts it. Where the picker only looks
    /// on, the request goes on instead.
    pub(super) fn refuse_unread(&self, refusal: Refusal, asked: Box<Asked>) -> Next {
        if !self.steers() {
            return Next::passed();
        }
        let status = refusal.status();
        let Asked { dialect, reply_to, .. } = &*asked;
        let (dialect, reply_to) = (*dialect, reply_to.clone());
        let code = ErrorCode::from_status(status);
        if let Some(pool) = self.among(&asked.candidates).first() {
            stats::count_refused(&pool, status);
            let Placed { pool, flow, .. } = self.placed(pool, asked, Models::default(), 0);
            stats::count_unread(&pool, &flow, code);
        }
        let refused = RefusedRequest { code, placed: None };
        Next::refusing(Refusing { refusal, dialect, reply_to, refused, discarded: 0 })
    }

    /// Sends the answer to a request that is refused, of which no more is waited for.
    pub(super) fn answer(&self, next: Next) -> Next {
        let Phase::Refusing(refusing) = next.phase else { return next };
        bodies::forget_upload(self.id);
        Next { phase: Phase::Refused(refusing.send()), action: Action::Pause }
    }

    /// Has a request that is refused at its headers show the body that is to come, of this length if it is not 0.
    pub(super) fn await_body(self: &Rc<Self>, next: Next, length: u64) -> Next {
        if !matches!(next.phase, Phase::Refusing(_)) {
            return next;
        }
        if length > DISCARDED_MAX {
            return self.answer(next);
        }
        bodies::note_upload(self.instance.context_id, self.id, 0, Rc::<Self>::clone(self));
        let action = match self.instance.config.envoy.way.hold() {
            Hold::StopIteration => Action::Pause,
            // The buffer filter holds the headers, and is shown nothing of the body.
            Hold::BufferFilter => Action::Continue,
        };
        Next { action, ..next }
    }

    /// Throws away the part of a body, `size` bytes in all that Envoy has kept, of a request that is refused.
    pub(super) fn discard(self: &Rc<Self>, next: Next, size: usize) -> Next {
        let Phase::Refusing(mut refusing) = next.phase else { return next };
        host::set_request_body(size, &[]);
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        refusing.discarded = refusing.discarded.saturating_add(size);
        let is_too_long = refusing.discarded > DISCARDED_MAX;
        let next = Next { phase: Phase::Refusing(refusing), action: Action::Pause };
        if is_too_long {
            return self.answer(next);
        }
        // Of this body nothing is pinned, but it may not stand still for ever either.
        bodies::note_upload(self.instance.context_id, self.id, 0, Rc::<Self>::clone(self));
        next
    }
}

impl Refusing {
    /// Answers the request that is being handled. The callback must then return `Pause`.
    fn send(self) -> RefusedRequest {
        self.refusal.send(self.dialect, &self.reply_to);
        self.refused
    }
}
