//! The event loop of all workers: frames on an explicit stack instead of native recursion.
//!
//! In Envoy the actions that a callback asked for run when it has returned, inside the same native
//! call; an action may call the VM again, and its actions run inside that. The order of everything
//! depends on this nesting, and so does the death of a VM that nests too deep. A stack of frames
//! gives the same order without the depth: `Drain` stands for "the callback has returned, do what
//! it asked for", and whatever an action pushes runs before the frame below it goes on.

mod events;
mod filter;
mod finish;
mod lifecycle;
mod reply;
mod router;

use crate::{
    exchange::{Exchange, ExchangeRef, LocalReply, Side},
    module::Module,
    plugin::Plugin,
    vm::{Returned, Vm},
    vm_state::Deferred,
    world::WorldRef,
};
use std::{cell::RefCell, rc::Rc};

pub(crate) type MachineRef = Rc<RefCell<Machine>>;

/// A worker's VM, which may be replaced when it is dead.
pub(crate) type VmSlot = Rc<RefCell<Rc<Vm>>>;

/// VM calls nested in one another before the VM dies of stack overflow. On Envoy 1.40 a chain of
/// resumes died at the 257th link and one callback's local replies at the 306th; the lower number
/// stands for both.
pub(crate) const NESTING_MAX: usize = 256;

/// Settings of the whole Envoy.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Number of worker threads, at least 1.
    pub(crate) workers: usize,
    /// Bytes that the connection manager buffers for a filter before it answers 413.
    pub(crate) buffer_limit: usize,
    pub(crate) idle_timeout_nanos: u64,
    /// False if the router answers 503 as soon as headers reach it.
    pub(crate) healthy_upstream: bool,
    pub(crate) late_part: LatePart,
}

/// The fate of the first part of a body that comes after another callback resumed its stream in the
/// middle of the body. The filter's context still takes it for one that is held, and adds it to the
/// filter manager's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LatePart {
    /// The part goes on, as in Envoy 1.39.3 and 1.40 without a retry policy.
    #[default]
    Sent,
    /// The part is lost, as in Envoy 1.36.4 and 1.37.0.
    Lost,
    /// The part goes on behind all that the router keeps in that buffer for another try, as in Envoy
    /// 1.39.3 and 1.40 with a retry policy.
    Repeated,
}

/// All VMs and streams of one Envoy.
pub(crate) struct Machine {
    pub(crate) world: WorldRef,
    pub(crate) plugins: Vec<Rc<Plugin>>,
    /// VMs by worker, then the main thread's.
    pub(crate) vms: Vec<VmSlot>,
    module: Module,
    options: Options,
    /// Streams that may still time out.
    open: Vec<ExchangeRef>,
    stack: Vec<Frame>,
}

/// A piece of a message on its way past a filter.
#[derive(Debug)]
enum Part {
    Headers { end: bool },
    Data { bytes: Vec<u8>, end: bool },
    Trailers,
}

/// Envoy's reading of a callback's return value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Continue,
    /// StopIteration for headers and trailers, StopIterationAndBuffer for data.
    Stop,
    /// StopAllIterationAndWatermark for headers, StopIterationNoBuffer for data.
    StopAll,
}

/// The last callbacks of a stream, in Envoy's order.
#[derive(Debug, Clone, Copy)]
enum Last {
    Log,
    Done,
    Delete,
}

/// A step of the loop, which calls a VM at most once.
enum Frame {
    /// A callback has returned: do what it asked for, one by one.
    Drain(Rc<Vm>),
    Create(ExchangeRef),
    Arrive(ExchangeRef, Side, Part),
    /// The verdict on a part, after what the callback asked for was done.
    Judge(ExchangeRef, Side, Part, Verdict),
    /// Past the filter: to the next one, the router or the client.
    Forward(ExchangeRef, Side, Part),
    /// The stream goes on: Envoy's `commonContinue`.
    Continue(ExchangeRef, Side),
    Reply(ExchangeRef, LocalReply),
    Reset(ExchangeRef),
    Finish(ExchangeRef, Last),
}

impl Machine {
    /// Runs until nothing is left to do.
    fn run(&mut self) {
        while let Some(frame) = self.stack.pop() {
            match frame {
                Frame::Drain(vm) => self.drain(vm),
                Frame::Create(stream) => self.create(&stream),
                Frame::Arrive(stream, side, part) => self.arrive(stream, side, part),
                Frame::Judge(stream, side, part, verdict) => {
                    self.judge(stream, side, part, verdict);
                }
                Frame::Forward(stream, side, part) => self.forward(&stream, side, part),
                Frame::Continue(stream, side) => self.resume(stream, side),
                Frame::Reply(stream, reply) => self.reply(stream, reply),
                Frame::Reset(stream) => self.reset(stream),
                Frame::Finish(stream, last) => self.finish(stream, last),
            }
        }
    }

    fn drain(&mut self, vm: Rc<Vm>) {
        let deferred = vm.state.borrow_mut().deferred.pop_front();
        let Some(deferred) = deferred else { return };
        self.stack.push(Frame::Drain(vm));
        self.stack.push(match deferred {
            Deferred::Continue(stream, side) => Frame::Continue(stream, side),
            Deferred::Reply(stream, reply) => Frame::Reply(stream, reply),
            Deferred::Close(stream) => {
                stream.borrow_mut().details = Some("wasm_close_stream".to_owned());
                Frame::Reset(stream)
            }
        });
    }

    /// Calls into a VM, unless that would nest too deep. The caller pushes what is to come after
    /// the callback's own actions, then a `Drain`.
    fn call(&self, vm: &Rc<Vm>, name: &str, context: u32, args: &[u32]) -> Returned {
        let same = |frame: &&Frame| matches!(frame, Frame::Drain(other) if Rc::ptr_eq(other, vm));
        if self.stack.iter().filter(same).count() > NESTING_MAX {
            vm.fail("RangeError: Maximum call stack size exceeded");
        }
        vm.call(name, context, args)
    }

    /// Calls a stream's filter.
    fn call_filter(&self, stream: &ExchangeRef, name: &str, args: &[u32]) -> Returned {
        let context = stream.borrow().context;
        let Some(vm) = self.vm_of(&stream.borrow()) else { return Returned::NOTHING };
        let args: Vec<_> = std::iter::once(context).chain(args.iter().copied()).collect();
        self.call(&vm, name, context, &args)
    }

    /// Returns a stream's VM, which may be dead; `None` if another VM has taken a dead one's place.
    fn vm_of(&self, stream: &Exchange) -> Option<Rc<Vm>> {
        let vm = self.vms.get(stream.vm.worker)?.borrow().clone();
        Some(vm).filter(|vm| vm.key() == stream.vm)
    }

    /// True if the VM of a stream can't be called any more.
    fn is_vm_dead(&self, stream: &Exchange) -> bool {
        self.vm_of(stream).is_none_or(|vm| vm.is_dead())
    }

    /// True if the filter is called for this stream at all.
    fn is_filtered(&self, stream: &Exchange) -> bool {
        stream.context != 0 && !self.is_vm_dead(stream)
    }

    fn push_drain(&mut self, stream: &Exchange) {
        // A VM that was replaced is dead, and a dead VM has nothing left to do.
        self.stack.extend(self.vm_of(stream).map(Frame::Drain));
    }
}
