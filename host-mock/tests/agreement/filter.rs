//! The filter of a case: a module that traces its callbacks and does what the case says in them.

/// Callback, its WAT parameters after `$ctx`, and whether it returns an action.
const CALLBACKS: [(&str, &str, bool); 9] = [
    ("request_headers", "(param $n i32) (param $end i32)", true),
    ("request_body", "(param $n i32) (param $end i32)", true),
    ("request_trailers", "(param $n i32)", true),
    ("response_headers", "(param $n i32) (param $end i32)", true),
    ("response_body", "(param $n i32) (param $end i32)", true),
    ("log", "", false),
    ("done", "", true),
    ("delete", "", false),
    (
        "http_call_response",
        "(param $token i32) (param $headers i32) (param $body i32) (param $trailers i32)",
        false,
    ),
];

/// Imports, memory and helpers. Letters of contexts are kept from 1024 on; a root's is '-'.
const PRELUDE: &str = r#"
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_set_effective_context" (func $as (param i32) (result i32)))
  (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
  (import "env" "proxy_send_local_response"
    (func $respond (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
  (import "env" "proxy_get_header_map_value"
    (func $get_header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_replace_header_map_value"
    (func $set_header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_shared_data" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_shared_data" (func $set (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_register_shared_queue" (func $register (param i32 i32 i32) (result i32)))
  (import "env" "proxy_enqueue_shared_queue" (func $enqueue (param i32 i32 i32) (result i32)))
  (import "env" "proxy_dequeue_shared_queue" (func $dequeue (param i32 i32 i32) (result i32)))
  (import "env" "proxy_http_call"
    (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 4)
  (global $heap (mut i32) (i32.const 65536))
  (global $streams (mut i32) (i32.const 0))
  (global $parked (mut i32) (i32.const 0))
  (global $once (mut i32) (i32.const 0))
  (global $root (mut i32) (i32.const 0))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (global.get $heap)
    (global.set $heap (i32.add (global.get $heap) (local.get $size))))
  (func (export "proxy_on_context_create") (param $ctx i32) (param $root i32)
    (i32.store8 (i32.add (i32.const 1024) (local.get $ctx))
      (if (result i32) (local.get $root)
        (then (i32.add (i32.const 97) (global.get $streams)))
        (else (i32.const 45))))
    (if (local.get $root)
      (then (global.set $streams (i32.add (global.get $streams) (i32.const 1))))
      (else (global.set $root (local.get $ctx)))))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func $trace (param $ctx i32) (param $at i32) (param $len i32)
    (i32.store8 (local.get $at) (i32.load8_u (i32.add (i32.const 1024) (local.get $ctx))))
    (drop (call $log (i32.const 2) (local.get $at) (local.get $len))))
  (data (i32.const 16) "! ")
  (func $note (param $value i32)
    (i32.store8 (i32.const 17) (i32.add (i32.const 48) (local.get $value)))
    (drop (call $log (i32.const 2) (i32.const 16) (i32.const 2))))
  (data (i32.const 32) "busy")
  (data (i32.const 48) "key")
  (data (i32.const 52) "x-a")
  (func $resume
    (if (i32.eqz (call $as (global.get $parked))) (then (drop (call $continue (i32.const 0))))))
  (func $reply
    (if (i32.eqz (call $as (global.get $parked)))
      (then (drop (call $respond (i32.const 429) (i32.const 0) (i32.const 0)
        (i32.const 32) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const -1))))))
  (func $reply_of_root (param $ctx i32)
    (drop (call $as (global.get $root)))
    (drop (call $respond (i32.const 503) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1)))
    (drop (call $as (local.get $ctx))))
"#;

/// Stands among the bodies for what belongs to the module as a whole.
pub(crate) const DATA: &str = "(data)";

/// The module's text, with `bodies` put into the callbacks that they name. A callback that returns
/// an action must leave it on the stack; one without a body continues.
pub(crate) fn wat(bodies: &[(&str, String)]) -> String {
    let body = |name: &str| bodies.iter().find(|(n, _)| *n == name).map(|(_, body)| body.as_str());
    let mut text = format!("(module {PRELUDE}");
    let root = [("configure", "i32 i32", "(result i32)"), ("tick", "i32", "")];
    for (name, params, result) in root {
        let end = if result.is_empty() { "" } else { "(i32.const 1)" };
        let body = body(name).unwrap_or_default();
        text +=
            &format!("(func (export \"proxy_on_{name}\") (param {params}) {result} {body} {end})");
    }
    let body_of = body("queue_ready").unwrap_or_default();
    text += &format!("(func (export \"proxy_on_queue_ready\") (param i32 i32) {body_of})");
    for (index, (name, params, returns)) in CALLBACKS.iter().enumerate() {
        let (at, len) = (256 + index * 32, name.len() + 2);
        let (result, default) = if *returns { ("(result i32)", "(i32.const 0)") } else { ("", "") };
        let body = body(name).unwrap_or(default);
        text += &format!(
            "(data (i32.const {at}) \"- {name}\")
             (func (export \"proxy_on_{name}\") (param $ctx i32) {params} {result}
               (call $trace (local.get $ctx) (i32.const {at}) (i32.const {len})) {body})"
        );
    }
    text += body(DATA).unwrap_or_default();
    text + ")"
}
