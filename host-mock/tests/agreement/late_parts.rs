//! The cases of a part of a body that comes after another callback resumed its stream in the middle of it: what the router
//! keeps for another try is sent once more, unless nothing of the body was shown before.

use crate::cases::{
    Case, PARK,
    Step::{Chunk, End, Post, Tick},
    TICKS, case, on_tick,
};

/// Returns the cases.
pub(crate) fn all() -> Vec<Case> {
    let resume = on_tick("(call $resume)");
    let until_tick = ("request_body", "(i32.lt_u (global.get $once) (i32.const 4))");
    let shown = [TICKS, ("request_headers", PARK), until_tick, ("tick", &resume)];
    let keep = format!("(call $reply_of_root (local.get $ctx)) {PARK}");
    let kept = [TICKS, ("request_headers", keep.as_str()), until_tick, ("tick", &resume)];
    let script = [Post('a'), Chunk('a', 100), Tick, Chunk('a', 50), Chunk('a', 7), End('a')];
    let all = [
        &["a request_headers", "a request_body"][..],
        &["a response_headers", "a response_body", "a log", "a done", "a delete"],
    ]
    .concat();
    vec![
        case("resumed in the middle, with nothing kept", &shown, &script)
            .gives(&["a: 200 hello 157"], &all),
        case("resumed in the middle of a body that the router keeps", &shown, &script)
            .retrying()
            .gives(&["a: 200 hello 257"], &all),
        case("a reply of no stream keeps the whole body back", &kept, &script)
            .retrying()
            .gives(&["a: 200 hello 157"], &all),
    ]
}
