//! An HTTP stream of a plugin instance that picks: Envoy's callbacks, in the order in which they come.
//!
//! A stream is in one [`Phase`] at a time, which owns everything that is known by then. A callback takes
//! the phase, calls the host, and enters the next one: the cell is never borrowed meanwhile.

mod direct;
mod ending;
mod phase;
mod placing;
mod reading;
mod response;
mod sending;

use std::{cell::RefCell, rc::Rc, time::Duration};

use picker_core::{RequestId, uploads::UploadFault, worker::Decision};
use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};
use wire::{
    config::{Hold, Mode},
    tally::ErrorCode,
};

use crate::{
    destination,
    host::{self, Headers},
    plugin_instance::PluginInstance,
    refusal::Refusal,
    run, stats,
    vm::{HeldStream, UploadingStream},
};
use phase::{Asked, Held, HeldBody, Next, Phase, Placed, Sent};

/// A stream, shared by its context and, while its request is held, by the VM, which resumes it.
pub(crate) struct Stream {
    id: RequestId,
    instance: Rc<PluginInstance>,
    phase: RefCell<Phase>,
}

impl Stream {
    /// Takes the phase, for a callback that enters another one before it returns.
    fn leave(&self) -> Phase {
        self.phase.take()
    }

    fn enter(&self, phase: Phase) {
        drop(self.phase.replace(phase));
    }

    /// Enters the next phase. Returns the action for Envoy.
    fn go(&self, next: Next) -> Action {
        self.enter(next.phase);
        next.action
    }

    /// Changes a request that was sent; nothing in any other phase.
    fn change_sent(&self, change: impl FnOnce(&Self, &mut Sent)) {
        let mut phase = self.leave();
        if let Phase::Sent(sent) = &mut phase {
            change(self, sent);
        }
        self.enter(phase);
    }

    /// Has Envoy keep the body of a request that waits, whose headers are shown right now. In the way of
    /// the buffer filter a pause at the headers does that by itself.
    fn hold_body(&self) {
        if self.instance.config.envoy.way.hold() == Hold::StopIteration {
            host::hold_body(self.id.0, self.instance.context_id);
        }
    }

    /// True if Envoy and the client are told of choices, and not only the counts.
    fn steers(&self) -> bool {
        self.instance.config.mode == Mode::Steer
    }

    /// Takes away headers that no client may set. Where the picker only looks on, the request keeps them: they may be
    /// the words of another picker.
    fn strip<'a>(&self, headers: &mut Headers, names: impl IntoIterator<Item = &'a str>) {
        if self.steers() {
            headers.strip(names);
        } else {
            headers.forget(names);
        }
    }

    /// Answers a request in the place of its pool. Where the picker only looks on, the request goes on instead.
    fn refuse(&self, refusal: &Refusal, placed: Placed) -> Next {
        if !self.steers() {
            stats::count_overruled(&placed.pool);
            return placing::sent(placed, None, Duration::ZERO);
        }
        let placed = Box::new(placed);
        let status = refusal.send(placed.asked.dialect, &placed.asked.reply_to);
        stats::count_refused(&placed.pool, status);
        let phase = Phase::Refused { code: ErrorCode::from_status(status), placed: Some(placed) };
        Next { phase, action: Action::Pause }
    }

    /// Answers a request before its pool is known. The first that it may be for counts it. Where the picker only looks
    /// on, the request goes on instead.
    fn refuse_unread(&self, refusal: &Refusal, asked: &Asked) -> Next {
        if !self.steers() {
            return Next::passed();
        }
        let status = refusal.send(asked.dialect, &asked.reply_to);
        if let Some(pool) = asked.candidates.first() {
            stats::count_refused(pool, status);
        }
        let phase = Phase::Refused { code: ErrorCode::from_status(status), placed: None };
        Next { phase, action: Action::Pause }
    }
}

impl UploadingStream for Stream {
    fn give_up(&self, fault: UploadFault) {
        let phase = self.leave();
        if let Phase::Reading(reading) = phase {
            // One that goes on is taken along by the next part of its body: resumed from here, Envoy would lose or
            // repeat what it has shown.
            self.go(self.refuse_unread(&Refusal::Upload(fault), &reading.asked));
        } else {
            self.enter(phase);
        }
    }
}

impl HeldStream for Stream {
    fn release(&self, decision: Decision) {
        let phase = self.leave();
        if let Phase::Held(Held { placed, body, counted, .. }) = phase {
            stats::end_wait(&placed.pool, counted);
            let action = self.go(self.settle(*placed, decision));
            // With a body that is coming, the next part of it takes the request along.
            if action == Action::Continue && body == HeldBody::AtRest {
                host::resume_request();
            }
        } else {
            self.enter(phase);
        }
    }
}

/// A stream's context.
pub(crate) struct Picker {
    stream: Rc<Stream>,
}

impl Picker {
    /// Makes the stream with this context id.
    pub(crate) fn new(instance: Rc<PluginInstance>, context_id: u32) -> Self {
        let id = RequestId(context_id);
        Self { stream: Rc::new(Stream { id, instance, phase: RefCell::default() }) }
    }
}

impl Context for Picker {}

impl HttpContext for Picker {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let mut headers = host::request_headers();
        // A client must not choose its endpoint, nor any address that Envoy can reach, nor say what the
        // gateway says. What is stripped is not read by anything that follows.
        let identity = &self.stream.instance.config.identity;
        let forged = identity.stripped.iter().chain(&identity.steering).map(String::as_str);
        self.stream.strip(&mut headers, [destination::HEADER].into_iter().chain(forged));
        let next = self.stream.begin(&mut headers, end_of_stream);
        if matches!(next.phase, Phase::Held(_)) && !end_of_stream {
            self.stream.hold_body();
        }
        self.stream.go(next)
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let phase = self.stream.leave();
        let next = if let Phase::Reading(reading) = phase {
            self.stream.read_on(reading, size, end_of_stream)
        } else if let Phase::Held(held) = phase {
            Next::held(held, end_of_stream)
        } else {
            Next::unchanged(phase)
        };
        self.stream.go(next)
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        let phase = self.stream.leave();
        let next = if let Phase::Reading(reading) = phase {
            // With trailers, no part of the body was its end.
            run::forget_upload(self.stream.id);
            self.stream.decide(reading)
        } else if let Phase::Held(held) = phase {
            Next::held(held, true)
        } else {
            Next::unchanged(phase)
        };
        self.stream.go(next)
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        self.stream.change_sent(|stream, sent| stream.respond(sent, end_of_stream));
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.stream.change_sent(|stream, sent| stream.pass_body(sent, size, end_of_stream));
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        self.stream.change_sent(Stream::pass_trailers);
        Action::Continue
    }

    fn on_log(&mut self) {
        self.stream.log();
    }
}
