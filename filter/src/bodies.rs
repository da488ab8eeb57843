//! Bodies that this VM has Envoy keep, on their way in or while their requests wait, and the end of those that pin too
//! much.

use std::rc::Rc;

use picker_core::{RequestId, flow::Priority};

use crate::{
    counters::Counters,
    host, ticks,
    vm::{self, HeldStream, UploadingStream},
};

/// Bytes of a body that are waited for and thrown away: eight times the largest that is read by default, which a client
/// with a gigabit a second sends in two seconds. A client that sends more may lose its answer with the connection.
pub(crate) const DISCARDED_MAX: u64 = 256 << 20;

/// Notes that of a stream's body so many bytes have come. Envoy acts on that stream, or on its plugin instance, which has
/// this context id.
pub(crate) fn note_upload(
    instance: u32,
    request: RequestId,
    bytes: usize,
    stream: Rc<dyn UploadingStream>,
) {
    let are_crowded = vm::with(|vm| {
        vm.uploads.grow(request, u64::try_from(bytes).unwrap_or(u64::MAX));
        vm.uploading.entry(request).or_insert(stream);
        vm.uploads.are_crowded()
    });
    if are_crowded {
        ticks::soon(instance);
    }
}

/// Forgets a body that is whole or gone.
pub(crate) fn forget_upload(request: RequestId) {
    vm::with(|vm| {
        vm.uploads.forget(request);
        drop(vm.uploading.remove(&request));
    });
}

/// True if a body that has grown to so many bytes would pin too much, together with all others on their way in.
pub(crate) fn would_crowd(request: RequestId, bytes: usize) -> bool {
    vm::with(|vm| {
        vm.uploads.grow(request, u64::try_from(bytes).unwrap_or(u64::MAX));
        vm.uploads.are_crowded()
    })
}

/// Notes that a request of this plugin instance waits with so many bytes.
pub(crate) fn hold(instance: u32, request: RequestId, priority: Priority, bytes: u64) {
    let are_crowded = vm::with(|vm| {
        vm.held_bodies.hold(request, priority, bytes);
        vm.held_bodies.are_crowded()
    });
    if are_crowded {
        ticks::soon(instance);
    }
}

/// Forgets a request that waits no more.
pub(crate) fn let_go(request: RequestId) {
    vm::with(|vm| vm.held_bodies.let_go(request));
}

/// True if something is to end for what bodies pin.
pub(crate) fn are_crowded() -> bool {
    vm::with(|vm| vm.uploads.are_crowded() || vm.held_bodies.are_crowded())
}

/// Ends the uploads that stand still and what pins too much. From a plugin instance's own callback: an answer to another
/// stream within a stream's callback would stop that stream for good.
pub(crate) fn tick(context: u32) {
    let now = host::now();
    let (ended, displaced) = vm::with(|vm| (vm.uploads.overdue(now), vm.held_bodies.displace()));
    if ended.is_empty() && displaced.is_empty() {
        return;
    }
    for (request, fault) in ended {
        let stream = vm::with(|vm| vm.uploading.remove(&request));
        if let Some(stream) = stream
            && host::act_on(request.0)
            && let Some(bytes) = stream.give_up(fault)
        {
            note_upload(context, request, bytes, stream);
        }
    }
    for request in displaced {
        if let Some(stream) = waiting(request)
            && host::act_on(request.0)
        {
            stream.displace();
        }
    }
    let _ = host::act_on(context);
}

/// Returns the stream of a request that waits for any pool.
fn waiting(request: RequestId) -> Option<Rc<dyn HeldStream>> {
    vm::with(|vm| vm.pools().find_map(|pool| pool.held.get(&request).map(Rc::clone)))
}

/// Shows what bodies pin, in a gauge that all workers add up in.
pub(crate) fn show(counters: &Counters) {
    let (bytes, shown) = vm::with(|vm| {
        let bytes = vm.uploads.bytes().saturating_add(vm.held_bodies.bytes());
        (bytes, std::mem::replace(&mut vm.shown_body_bytes, bytes))
    });
    counters.body_bytes.shift(bytes.cast_signed().wrapping_sub(shown.cast_signed()));
}
