//! Events from outside that reach a VM or a stream: time, queue wake-ups, answers, clients,
//! upstreams.

use super::{Frame, Machine, Part};
use crate::{
    exchange::{Direction, Exchange, ExchangeRef, LocalReply, Phase, Response, Side, flag},
    headers::HeaderMap,
    vm::Vm,
    world::queues::Delivery,
};
use std::rc::Rc;

/// The next thing that is due.
enum Due {
    Tick { vm: Rc<Vm>, root: u32 },
    Idle(ExchangeRef),
    Call { token: u32 },
}

impl Machine {
    /// Fires what is due first, if that is not after `until`, with the clock at its due time.
    pub(crate) fn fire_next(&mut self, until: u64) -> bool {
        let Some((at, due)) = self.next_due().filter(|(at, _)| *at <= until) else { return false };
        {
            let now = &mut self.world.borrow_mut().now_nanos;
            *now = at.max(*now);
        }
        match due {
            Due::Tick { vm, root } => self.tick(&vm, root),
            Due::Idle(stream) => {
                stream.borrow_mut().idle_at = u64::MAX;
                let details = "stream_idle_timeout";
                let reply = LocalReply::new(504, "stream timeout", details, flag::STREAM_IDLE);
                self.event(Frame::Reply(stream, reply));
            }
            Due::Call { token } => self.answer(token, call_timed_out()),
        }
        true
    }

    fn next_due(&self) -> Option<(u64, Due)> {
        let mut next: Option<(u64, Due)> = None;
        let mut offer = |at: u64, due: Due| {
            if next.as_ref().is_none_or(|(earliest, _)| at < *earliest) {
                next = Some((at, due));
            }
        };
        for slot in &self.vms {
            let vm = slot.borrow().clone();
            for (root, tick) in &vm.state.borrow().ticks {
                offer(tick.due_nanos, Due::Tick { vm: vm.clone(), root: *root });
            }
        }
        for stream in &self.open {
            offer(stream.borrow().idle_at, Due::Idle(stream.clone()));
        }
        if let Some((at, token)) = self.world.borrow().calls.first_due() {
            offer(at, Due::Call { token });
        }
        next
    }

    fn tick(&mut self, vm: &Rc<Vm>, root: u32) {
        vm.call("proxy_on_tick", root, &[root]);
        let now = self.world.borrow().now_nanos;
        if let Some(tick) = vm.state.borrow_mut().ticks.get_mut(&root) {
            tick.due_nanos = now + tick.period_nanos;
        }
        self.event(Frame::Drain(vm.clone()));
    }

    /// Runs a wake-up; does nothing when the consumer is gone, as in Envoy.
    pub(crate) fn deliver(&mut self, delivery: &Delivery) {
        let Some(vm) = self.vm(delivery.to) else { return };
        let root = delivery.root_context;
        if vm.state.borrow().contexts.contains_key(&root) {
            vm.call("proxy_on_queue_ready", root, &[root, delivery.queue]);
            self.event(Frame::Drain(vm));
        }
    }

    /// Answers a plugin's HTTP call.
    pub(crate) fn answer(&mut self, token: u32, answer: Response) {
        self.call_back(token, Some(answer));
    }

    /// Ends a plugin's HTTP call without an answer.
    pub(crate) fn reset_call(&mut self, token: u32) {
        self.call_back(token, None);
    }

    fn call_back(&mut self, token: u32, answer: Option<Response>) {
        let Some(call) = self.world.borrow_mut().calls.take(token) else { return };
        let Some(vm) = self.vm(call.worker) else { return };
        // Envoy cancels the calls of a VM that dies; the one in its place knows nothing of them.
        if vm.born_nanos > call.made_nanos
            || !vm.state.borrow().contexts.contains_key(&call.context)
        {
            return;
        }
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let [headers, body, trailers] = answer.as_ref().map_or([0; 3], |answer| {
            let trailers = answer.trailers.as_ref().map_or(0, HeaderMap::len);
            [answer.headers.len(), answer.body.len(), trailers].map(count)
        });
        let sizes = [call.context, token, headers, body, trailers];
        vm.state.borrow_mut().call_answer = answer;
        vm.call("proxy_on_http_call_response", call.context, &sizes);
        vm.state.borrow_mut().call_answer = None;
        self.event(Frame::Drain(vm));
    }

    /// Delivers more of a request or of a response; nothing happens to a stream that expects none.
    pub(crate) fn data(&mut self, stream: &ExchangeRef, side: Side, bytes: &[u8], end: bool) {
        if !expects(&stream.borrow(), side) {
            return;
        }
        self.touch(stream);
        let part = Part::Data { bytes: bytes.to_vec(), end };
        self.event(Frame::Arrive(stream.clone(), side, part));
    }

    pub(crate) fn trailers(&mut self, stream: &ExchangeRef, side: Side, trailers: HeaderMap) {
        if !expects(&stream.borrow(), side) {
            return;
        }
        self.touch(stream);
        stream.borrow_mut().side_mut(side).trailers = Some(trailers);
        self.event(Frame::Arrive(stream.clone(), side, Part::Trailers));
    }

    /// Delivers the headers of the upstream's answer. Nothing happens if nothing was sent upstream.
    pub(crate) fn respond(&mut self, stream: &ExchangeRef, headers: HeaderMap, end: bool) {
        let ready = {
            let stream = stream.borrow();
            stream.upstream.is_some() && stream.response.headers.is_empty()
        };
        if ready {
            self.touch(stream);
            stream.borrow_mut().details = Some("via_upstream".to_owned());
            stream.borrow_mut().response = Direction::new(headers, end);
            self.event(Frame::Arrive(stream.clone(), Side::Response, Part::Headers { end }));
        }
    }

    pub(crate) fn local_reply(&mut self, stream: &ExchangeRef, reply: LocalReply) {
        self.event(Frame::Reply(stream.clone(), reply));
    }

    /// Ends the stream without an answer.
    pub(crate) fn cut(&mut self, stream: &ExchangeRef, details: &str, flags: u64) {
        stream.borrow_mut().details = Some(details.to_owned());
        stream.borrow_mut().flags |= flags;
        self.event(Frame::Reset(stream.clone()));
    }

    fn vm(&self, worker: usize) -> Option<Rc<Vm>> {
        self.vms.get(worker).map(|slot| slot.borrow().clone())
    }

    fn touch(&self, stream: &ExchangeRef) {
        let now = self.world.borrow().now_nanos;
        stream.borrow_mut().idle_at = now.saturating_add(self.options.idle_timeout_nanos);
    }

    fn event(&mut self, frame: Frame) {
        self.stack.push(frame);
        self.run();
    }
}

/// Returns the answer that a plugin gets for a call that took too long.
fn call_timed_out() -> Response {
    let mut headers = HeaderMap::default();
    headers.set(":status", "504");
    let body = b"upstream request timeout".to_vec();
    Response { status: 504, headers, body, trailers: None, complete: true }
}

/// True if more of this direction may come: its headers did, its end did not, and Envoy hasn't
/// answered in the upstream's place.
fn expects(stream: &Exchange, side: Side) -> bool {
    let direction = stream.side(side);
    stream.phase == Phase::Open && !direction.headers.is_empty() && !direction.ended
}
