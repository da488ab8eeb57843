//! The end of a stream: on_log, on_done, on_delete, whatever ended it.

use super::{Frame, Last, Machine};
use crate::exchange::{ExchangeRef, Phase};

impl Machine {
    pub(super) fn finish(&mut self, stream: ExchangeRef, last: Last) {
        let exchange = stream.borrow();
        // Every last callback comes once. A dead VM gets none: its contexts are just gone.
        let expected = match last {
            Last::Log => exchange.phase < Phase::Logging,
            Last::Done | Last::Delete => exchange.phase == Phase::Ending,
        };
        let filtered = self.is_filtered(&exchange);
        drop(exchange);
        if !expected {
            return;
        }
        match last {
            Last::Log => {
                stream.borrow_mut().phase = Phase::Logging;
                self.last_call(&stream, filtered, "proxy_on_log", Some(Last::Done));
                stream.borrow_mut().phase = Phase::Ending;
            }
            Last::Done => {
                self.last_call(&stream, filtered, "proxy_on_done", Some(Last::Delete));
            }
            Last::Delete => {
                self.last_call(&stream, filtered, "proxy_on_delete", None);
                let exchange = stream.borrow();
                if let Some(vm) = self.vm_of(&exchange) {
                    vm.state.borrow_mut().contexts.remove(&exchange.context);
                }
                drop(exchange);
                stream.borrow_mut().phase = Phase::Over;
                self.open.retain(|open| !std::rc::Rc::ptr_eq(open, &stream));
            }
        }
    }

    fn last_call(&mut self, stream: &ExchangeRef, filtered: bool, name: &str, next: Option<Last>) {
        if filtered {
            self.call_filter(stream, name, &[]);
        }
        self.stack.extend(next.map(|next| Frame::Finish(stream.clone(), next)));
        self.push_drain(&stream.borrow());
    }

    /// Ends the whole Envoy: every VM and every stream with it.
    pub(super) fn crash(&mut self, why: &str) {
        for slot in &self.vms {
            slot.borrow().fail(&format!("Envoy 1.40 dies of SIGSEGV here: {why}"));
        }
        self.stack.clear();
        for stream in self.open.drain(..) {
            let mut stream = stream.borrow_mut();
            stream.phase = Phase::Over;
            stream.reset = true;
        }
    }
}
