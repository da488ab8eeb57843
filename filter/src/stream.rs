//! An HTTP stream of a plugin instance that picks: Envoy's callbacks, in the order in which they come.
//!
//! A stream is in one [`Phase`] at a time, which owns everything that is known by then. A callback takes
//! the phase, calls the host, and enters the next one: the cell is never borrowed meanwhile.

mod direct;
mod ending;
mod evicting;
mod explaining;
mod phase;
mod placing;
mod reading;
mod refusing;
mod response;
mod routing;
mod sending;
mod worked;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use picker_core::{RequestId, flow::Outcome, uploads::UploadFault, worker::Decision};
use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};
use wire::{
    config::{Hold, Mode},
    debug::DebugWish,
};

use crate::{
    bodies, debug, destination,
    host::{self, Headers},
    plugin_instance::PluginInstance,
    refusal::Refusal,
    request_meta, route_headers, stats,
    vm::{HeldStream, UploadingStream},
};
use phase::{Held, HeldBody, Naming, Next, Phase, Sent};
use worked::{Half, Worked};

/// A stream, shared by its context and, while its request is held, by the VM, which resumes it.
pub(crate) struct Stream {
    id: RequestId,
    instance: Rc<PluginInstance>,
    phase: RefCell<Phase>,
    /// Wish of an operator, from the headers on.
    wish: Cell<Option<DebugWish>>,
    /// Time that it took so far; absent where that is not measured.
    worked: Cell<Option<Worked>>,
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
        let next = self.withhold(next);
        self.enter(next.phase);
        next.action
    }

    /// Changes a request that is answered by a pod: one that was sent, or one that makes something; nothing in
    /// any other phase.
    fn change_answered(
        &self,
        sent: impl FnOnce(&Self, &mut Sent),
        naming: impl FnOnce(&Self, &mut Naming),
    ) {
        let mut phase = self.leave();
        if let Phase::Sent(request) = &mut phase {
            sent(self, request);
        } else if let Phase::Naming(request) = &mut phase {
            naming(self, request);
        }
        self.enter(phase);
    }

    /// Has Envoy keep the body of a request that waits, whose headers are shown right now, of this length if it is not 0.
    /// In the way of the buffer filter a pause at the headers does that by itself.
    fn hold_body(&self, held: &Held, length: u64) {
        // Envoy takes as much as its buffers hold, which is about as much as the longest body.
        let max = self.instance.config.envoy.max_body_bytes;
        let bytes = if length == 0 { max } else { length.min(max) };
        bodies::hold(self.instance.context_id, self.id, held.placed.flow.priority, bytes);
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

    /// Takes in the headers of a request.
    fn take_headers(self: &Rc<Self>, end_of_stream: bool) -> Action {
        let mut headers = host::request_headers();
        self.wish.set(debug::take(&mut headers));
        // A client must not choose its endpoint, nor any address that Envoy can reach, nor say what the
        // gateway says. What is stripped is not read by anything that follows.
        let identity = &self.instance.config.identity;
        let forged = identity.stripped.iter().chain(&identity.steering).map(String::as_str);
        let routes = self.instance.config.routes_anew().then_some(route_headers::NAMES);
        let forged = forged.chain(routes.into_iter().flatten());
        self.strip(&mut headers, [destination::HEADER].into_iter().chain(forged));
        let next = self.begin(&mut headers, end_of_stream);
        if let Phase::Held(held) = &next.phase
            && !end_of_stream
        {
            self.hold_body(held, request_meta::length(&headers));
        }
        // Of a connection that is to become another protocol's there is no end to wait for.
        let has_body = !end_of_stream && !headers.has("upgrade");
        let next = if has_body {
            self.await_body(next, request_meta::length(&headers))
        } else {
            self.answer(next)
        };
        self.go(next)
    }

    /// Takes in a part of its body, of which Envoy has kept `size` bytes in all.
    fn take_body(self: &Rc<Self>, size: usize, end_of_stream: bool) -> Action {
        let phase = self.leave();
        let next = if let Phase::Reading(reading) = phase {
            self.read_on(reading, size, end_of_stream)
        } else if let Phase::Held(held) = phase {
            Next::held(held, end_of_stream)
        } else {
            Next::unchanged(phase)
        };
        let next = if end_of_stream { self.answer(next) } else { self.discard(next, size) };
        self.go(next)
    }

    /// Takes in its trailers, behind all of its body.
    fn take_trailers(self: &Rc<Self>) -> Action {
        let phase = self.leave();
        let next = if let Phase::Reading(reading) = phase {
            // With trailers, no part of the body was its end.
            bodies::forget_upload(self.id);
            self.decide(reading)
        } else if let Phase::Held(held) = phase {
            Next::held(held, true)
        } else {
            Next::unchanged(phase)
        };
        self.go(self.answer(next))
    }
}

impl UploadingStream for Stream {
    fn give_up(&self, fault: UploadFault) -> Option<usize> {
        let phase = self.leave();
        let next = if let Phase::Reading(reading) = phase {
            // Where the picker only looks on, it can't send on what has come: resumed from here, Envoy would lose or
            // repeat what it has shown. So the bytes stay, and count.
            if !self.steers() {
                let buffered = reading.buffered;
                self.enter(Phase::Reading(reading));
                return Some(buffered);
            }
            self.refuse_unread(Refusal::Upload(fault), reading.asked)
        } else {
            // One that was to be refused anyway is told of that.
            Next::unchanged(phase)
        };
        self.go(self.answer(next));
        None
    }
}

impl HeldStream for Stream {
    fn release(&self, decision: Decision) {
        let phase = self.leave();
        if let Phase::Held(Held { placed, body, counted, .. }) = phase {
            bodies::let_go(self.id);
            stats::end_wait(&placed.pool, counted, placed.bytes);
            let action = self.go(self.answer(self.settle(*placed, decision)));
            // With a body that is coming, the next part of it takes the request along.
            if action == Action::Continue && body == HeldBody::AtRest {
                host::resume_request();
            }
        } else {
            self.enter(phase);
        }
    }

    fn displace(&self) {
        let phase = self.leave();
        if let Phase::Held(held) = phase {
            self.stop_waiting(&held, Outcome::EvictedDisplaced);
            self.go(self.answer(self.refuse(Refusal::Displaced, *held.placed)));
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
        let (phase, wish) = (RefCell::default(), Cell::default());
        let worked = Cell::new(Worked::begin(id));
        Self { stream: Rc::new(Stream { id, instance, phase, wish, worked }) }
    }
}

impl Context for Picker {}

impl HttpContext for Picker {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let stream = &self.stream;
        stream.timed(Half::Request, || stream.take_headers(end_of_stream))
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let stream = &self.stream;
        stream.timed(Half::Request, || stream.take_body(size, end_of_stream))
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        let stream = &self.stream;
        stream.timed(Half::Request, || stream.take_trailers())
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let stream = &self.stream;
        stream.timed(Half::Response, || {
            stream.change_answered(
                |stream, sent| stream.respond(sent, end_of_stream),
                Stream::begin_name,
            );
        });
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let stream = &self.stream;
        stream.timed(Half::Response, || {
            stream.change_answered(
                |stream, sent| stream.pass_body(sent, size, end_of_stream),
                |_, naming| naming.read(size),
            );
        });
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        self.stream.change_answered(Stream::pass_trailers, |_, _| ());
        Action::Continue
    }

    fn on_log(&mut self) {
        self.stream.log();
    }
}
