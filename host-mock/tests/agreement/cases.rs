//! The cases. Where a number or an order looks odd, the real Envoy does it.

use crate::{filter::DATA, http_call::http_call};
use host_mock::FailPolicy::{self, Close, Open, Reload};

/// What a client does. Clients are named by letter, in the order in which they open.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// A request without a body.
    Get(char),
    /// The headers of a request with a chunked body.
    Post(char),
    /// So many more bytes of its body.
    Chunk(char, usize),
    /// The end of its body.
    End(char),
    /// The client closes its connection.
    Leave(char),
    /// Not quite half a second passes: a parked stream's tick acts.
    Tick,
    /// stream_idle_timeout, 1 s in all cases, passes.
    Idle,
}
use Step::{Chunk, End, Get, Idle, Leave, Post, Tick};

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) stop_iteration: bool,
    pub(crate) policy: FailPolicy,
    /// Retries of the route; with any, the router keeps bodies.
    pub(crate) retries: u32,
    /// Callback and its WAT.
    pub(crate) filter: Vec<(&'static str, String)>,
    pub(crate) script: Vec<Step>,
    pub(crate) clients: Vec<&'static str>,
    /// `None`: only what the clients see counts.
    pub(crate) trace: Option<Vec<&'static str>>,
}

const PAUSE: &str = "(i32.const 1)";
const PARK_FIRST: &str = "(if (i32.eqz (global.get $parked))
    (then (global.set $parked (local.get $ctx)) (return (i32.const 1)))) (i32.const 0)";
pub(crate) const PARK: &str =
    "(global.set $parked (local.get $ctx)) (global.set $once (i32.const 0)) (i32.const 1)";
pub(crate) const TICKS: (&str, &str) = ("configure", "(drop (call $tick (i32.const 100)))");
/// The fourth tick after parking acts, so that no script is overtaken.
pub(crate) fn on_tick(act: &str) -> String {
    format!(
        "(global.set $once (i32.add (global.get $once) (i32.const 1)))
        (if (i32.eq (global.get $once) (i32.const 4)) (then {act}))"
    )
}
const UNTIL_END: &str = "(i32.eqz (local.get $end))";

pub(crate) fn case(name: &str, filter: &[(&'static str, &str)], script: &[Step]) -> Case {
    Case {
        name: name.to_owned(),
        stop_iteration: true,
        policy: Close,
        retries: 0,
        filter: filter.iter().map(|(name, body)| (*name, (*body).to_owned())).collect(),
        script: script.to_vec(),
        clients: Vec::new(),
        trace: None,
    }
}

impl Case {
    fn stop_all(mut self) -> Self {
        self.stop_iteration = false;
        self
    }

    pub(crate) fn retrying(mut self) -> Self {
        self.retries = 1;
        self
    }

    fn policy(mut self, policy: FailPolicy) -> Self {
        self.policy = policy;
        self
    }

    pub(crate) fn gives(mut self, clients: &[&'static str], trace: &[&'static str]) -> Self {
        (self.clients, self.trace) = (clients.to_vec(), Some(trace.to_vec()));
        self
    }
}

pub(crate) fn all() -> Vec<Case> {
    [pauses(), releases(), replies(), ends(), deaths(), shared_data(), headers(), http_calls()]
        .into_iter()
        .flatten()
        .collect()
}

fn pauses() -> Vec<Case> {
    let (resume, twice) = (on_tick("(call $resume)"), on_tick("(call $resume) (call $resume)"));
    let held = [("request_headers", PAUSE), ("request_body", UNTIL_END)];
    let by_tick = [TICKS, ("request_headers", PARK), ("tick", &resume)];
    let at_end = [TICKS, ("request_headers", PARK), ("request_body", PAUSE), ("tick", &resume)];
    let mid_body = [
        TICKS,
        ("request_headers", PARK),
        ("request_body", "(i32.lt_u (global.get $once) (i32.const 4))"),
        ("tick", &resume),
    ];
    let post = [Post('a'), Chunk('a', 1000), End('a')];
    let whole = ["a request_headers", "a request_body"];
    let answered = ["a response_headers", "a response_body", "a log", "a done", "a delete"];
    let both = |a: &[&'static str]| [a, &answered].concat();
    vec![
        case("StopAll: no body callback while headers are paused", &held, &post)
            .stop_all()
            .gives(&["a: hangs"], &["a request_headers"]),
        case("StopIteration: Continue from the body callback resumes the headers", &held, &post)
            .gives(&["a: 200 hello 1000"], &both(&whole)),
        case(
            "StopAll: what was held passes the filter once resumed",
            &by_tick,
            &[&post[..], &[Tick]].concat(),
        )
        .stop_all()
        .gives(&["a: 200 hello 1000"], &both(&["a request_headers", "a request_body"])),
        case(
            "parked at the end of the body, resumed by a tick",
            &at_end,
            &[&post[..], &[Tick]].concat(),
        )
        .gives(&["a: 200 hello 1000"], &both(&whole)),
        case("bodiless, parked at headers, resumed by a tick", &by_tick, &[Get('a'), Tick])
            .gives(&["a: 200 hello 0"], &both(&["a request_headers"])),
        case(
            "resumed twice",
            &[TICKS, ("request_headers", PARK), ("tick", &twice)],
            &[Get('a'), Tick],
        )
        .gives(&["a: 200 hello 0"], &both(&["a request_headers"])),
        case(
            "resumed in the middle of a body",
            &mid_body,
            &[Post('a'), Chunk('a', 100), Tick, Chunk('a', 50), End('a')],
        )
        .gives(&["a: 200 hello 150"], &both(&whole)),
        case("buffered beyond the limit", &held, &[Post('a'), Chunk('a', 1_100_000)])
            .gives(&["a: 413 Payload Too Large"], &both(&whole)),
    ]
}

/// Who lets another stream go, and what becomes of both: `a` is parked, `b` passes and releases it.
fn releases() -> Vec<Case> {
    let places = [
        ("request_headers", "b: hangs"),
        ("response_headers", "b: hangs"),
        // The real Envoy dies of SIGSEGV.
        ("response_body", "b: closed"),
        ("log", "b: 200 hello 0"),
        ("done", "b: 200 hello 0"),
    ];
    let mut cases = Vec::new();
    for (place, replier) in places {
        for (what, release, a, b) in [
            ("resumes", "(call $resume)", "a: 200 hello 0", "b: 200 hello 0"),
            ("answers", "(call $reply)", "a: 429 busy", replier),
        ] {
            let returns = if place == "log" { "" } else { "(i32.const 0)" };
            let guarded = format!(
                "(if (i32.ne (local.get $ctx) (global.get $parked)) (then {release})) {returns}"
            );
            let mut filter = vec![(place, guarded.clone())];
            match place {
                "request_headers" => {
                    let park = PARK_FIRST.trim_end_matches("(i32.const 0)");
                    filter = vec![(place, format!("{park} {guarded}"))];
                }
                _ => filter.push(("request_headers", PARK_FIRST.to_owned())),
            }
            let a = if b == "b: closed" { "a: closed" } else { a };
            let name = format!("{place} of another stream {what}");
            let mut case = case(&name, &[], &[Get('a'), Get('b')]).gives(&[a, b], &[]);
            case.filter = filter;
            case.trace = None;
            cases.push(case);
        }
    }
    cases
}

/// Answers of the filter itself.
fn replies() -> Vec<Case> {
    let answered = ["a request_headers", "a response_headers", "a response_body"];
    let ended = ["a log", "a done", "a delete"];
    let all = [&answered[..], &ended].concat();
    let act = on_tick("(call $reply) (call $resume)");
    let reply_then_resume = [TICKS, ("request_headers", PARK), ("tick", &act)];
    let from_queue = [
        ("configure", "(drop (call $register (i32.const 48) (i32.const 3) (i32.const 80)))"),
        (
            "request_headers",
            "(global.set $parked (local.get $ctx))
            (drop (call $enqueue (i32.load (i32.const 80)) (i32.const 32) (i32.const 4)))
            (i32.const 1)",
        ),
        ("queue_ready", "(call $reply)"),
    ];
    let own_body = [
        ("request_headers", PAUSE),
        ("request_body", "(global.set $parked (local.get $ctx)) (call $reply) (i32.const 1)"),
    ];
    let own_once = "(if (i32.eqz (global.get $parked))
        (then (global.set $parked (local.get $ctx)) (call $reply))) (i32.const 0)";
    let nobody = on_tick(
        "(drop (call $respond (i32.const 429) (i32.const 0) (i32.const 0) (i32.const 32)
        (i32.const 4) (i32.const 0) (i32.const 0) (i32.const -1)))",
    );
    let to_nobody = [TICKS, ("request_headers", PARK), ("tick", &nobody)];
    let own = "(global.set $parked (local.get $ctx)) (call $reply) (i32.const 1)";
    vec![
        case("from its own request headers", &[("request_headers", own)], &[Get('a')])
            .gives(&["a: 429 busy"], &all),
        case("from its own request body", &own_body, &[Post('a'), Chunk('a', 100)]).gives(
            &["a: 429 busy"],
            &[&["a request_headers", "a request_body"], &all[1..]].concat(),
        ),
        case("then a resume: the answer stands", &reply_then_resume, &[Get('a'), Tick])
            .gives(&["a: 429 busy"], &all),
        case(
            "from its own body, when its headers are upstream",
            &own_body[1..],
            &[Post('a'), Chunk('a', 100)],
        )
        .gives(&["a: 429 busy"], &[&["a request_headers", "a request_body"], &all[1..]].concat()),
        case("from its own response headers", &[("response_headers", own_once)], &[Get('a')])
            .gives(&["a: 429 busy"], &[&all[..2], &ended].concat()),
        case("to no stream", &to_nobody, &[Get('a'), Tick])
            .gives(&["a: hangs"], &["a request_headers"]),
        case("from a queue's wake-up", &from_queue, &[Get('a')]).gives(&["a: 429 busy"], &all),
    ]
}

fn ends() -> Vec<Case> {
    vec![
        case(
            "the client leaves a parked stream",
            &[("request_headers", PAUSE)],
            &[Get('a'), Leave('a')],
        )
        .gives(&["a: left"], &["a request_headers", "a log", "a done", "a delete"]),
        case("a parked stream stays idle", &[("request_headers", PAUSE)], &[Get('a'), Idle]).gives(
            &["a: 504 stream timeout"],
            &[
                "a request_headers",
                "a response_headers",
                "a response_body",
                "a log",
                "a done",
                "a delete",
            ],
        ),
    ]
}

/// A trap. A new VM is started for a request a second after the last start, not sooner.
fn deaths() -> Vec<Case> {
    let dies = [("request_headers", "(unreachable)")];
    let parks_then_dies = [(
        "request_headers",
        "(if (i32.eqz (global.get $parked)) (then (global.set $parked (local.get $ctx)) (return (i32.const 1)))) (unreachable)",
    )];
    let (one, two) = (["a request_headers"], ["a request_headers", "a request_headers"]);
    vec![
        case("a trap: FAIL_CLOSED", &dies, &[Get('a'), Get('b')])
            .gives(&["a: 503 ", "b: 503 "], &one),
        case("a trap: FAIL_OPEN", &dies, &[Get('a'), Get('b')])
            .policy(Open)
            .gives(&["a: 503 ", "b: 200 hello 0"], &one),
        case("a trap: FAIL_RELOAD, too soon", &dies, &[Get('a'), Get('b')])
            .policy(Reload)
            .gives(&["a: 503 ", "b: 503 "], &one),
        case("a trap: FAIL_RELOAD", &dies, &[Idle, Idle, Get('a'), Get('b'), Get('c')])
            .policy(Reload)
            .gives(&["a: 503 ", "b: 503 ", "c: 503 "], &two),
        case("a stream parked in a dead VM", &parks_then_dies, &[Get('a'), Get('b')])
            .gives(&["a: hangs", "b: 503 "], &["a request_headers", "b request_headers"]),
        case(
            "a stream parked in a dead VM times out",
            &parks_then_dies,
            &[Get('a'), Get('b'), Idle],
        )
        .gives(&["a: 503 ", "b: 503 "], &["a request_headers", "b request_headers"]),
        case(
            "a stream parked in a dead VM times out: FAIL_OPEN",
            &parks_then_dies,
            &[Get('a'), Get('b'), Idle],
        )
        .policy(Open)
        .gives(&["a: 503 ", "b: 503 "], &["a request_headers", "b request_headers"]),
    ]
}

/// What host calls return, noted as a digit.
fn shared_data() -> Vec<Case> {
    let set = |len: u32, cas: &str| {
        let (key, value) =
            ("(i32.const 48) (i32.const 3)", format!("(i32.const 32) (i32.const {len})"));
        format!("(call $note (call $set {key} {value} {cas}))")
    };
    let out = "(i32.const 80) (i32.const 84)";
    let get = format!("(call $note (call $get (i32.const 48) (i32.const 3) {out} (i32.const 88)))");
    let present = "(i32.load (i32.const 88))";
    let calls = [
        (get.clone(), "!1"),              // not there
        (set(1, "(i32.const 77)"), "!0"), // any generation inserts
        (get.clone(), "!0"),
        (set(2, present), "!0"),         // the right generation
        (set(3, present), "!8"),         // by now a stale one
        (set(0, "(i32.const 0)"), "!0"), // unconditional
        (get, "!0"),                     // present, but empty:
        ("(call $note (i32.load (i32.const 80)))".to_owned(), "!0"), // a null pointer
        (format!("(call $note (call $dequeue (i32.const 99) {out}))"), "!1"),
        ("(call $note (call $as (i32.const 9999)))".to_owned(), "!2"),
        (
            format!(
                "(call $note (call $get_header (i32.const 1) (i32.const 52) (i32.const 3) {out}))"
            ),
            "!2",
        ),
    ];
    let notes: Vec<_> = calls.iter().map(|(_, note)| *note).collect();
    let ends = ["a response_headers", "a response_body", "a log", "a done", "a delete"];
    let trace = [&["a request_headers"], &notes[..], &ends].concat();
    let mut case = case("shared data, queues and contexts", &[], &[Get('a')])
        .gives(&["a: 200 hello 0"], &trace);
    let calls: String = calls.into_iter().map(|(call, _)| call).collect();
    case.filter = vec![("request_headers", format!("{calls} (i32.const 0)"))];
    vec![case]
}

fn headers() -> Vec<Case> {
    let name = "(i32.const 0) (i32.const 52) (i32.const 3)";
    let write = format!("(call $set_header {name} (i32.const 32) (i32.const 4))");
    let read = format!("(call $get_header {name} (i32.const 80) (i32.const 84))");
    let access = format!("(call $note {read}) (call $note {write})");
    let then = format!("{access} (i32.const 0)");
    let responded = ["a response_headers", "a response_body", "a log"];
    let trace = |body: &[&'static str], log: &[&'static str]| {
        let start: &[_] = &["a request_headers"];
        [start, body, &responded, log, &["a done", "a delete"]].concat()
    };
    let post = [Post('a'), End('a')];
    vec![
        case(
            "headers once continued, and in the log",
            &[("request_body", &then), ("log", &access)],
            &post,
        )
        .gives(&["a: 200 hello 0"], &trace(&["a request_body", "!2", "!2"], &["!0", "!2"])),
        case("headers while held", &[("request_headers", PAUSE), ("request_body", &then)], &post)
            .gives(&["a: 200 hello 0 x-a=busy"], &trace(&["a request_body", "!0", "!0"], &[])),
    ]
}

/// Calls from a stream that waits. Noted are what the call returned, and the first digit of the answer's status.
fn http_calls() -> Vec<Case> {
    let all = [(":method", "GET"), (":path", "/"), (":authority", "x")];
    let slow = [all[0], (":path", "/slow"), all[2]];
    let answered = "(drop (call $get_header (i32.const 6) (i32.const 544) (i32.const 7)
        (i32.const 84) (i32.const 88)))
        (call $note (i32.sub (i32.load8_u (i32.load (i32.const 84))) (i32.const 48)))";
    let status = "(data (i32.const 544) \":status\")";
    let told = |digit| vec!["!0", "- http_call_response", digit];
    let calls = [
        ("answered", "up", &all[..], told("!2")),
        ("timed out", "up", &slow[..], told("!5")),
        ("nobody listens", "gone", &all[..], told("!5")),
        ("no such cluster", "nowhere", &all[..], vec!["!2"]),
        ("without an authority", "up", &all[..2], vec!["!2"]),
    ];
    let case = |(name, cluster, headers, trace): (&str, &str, &[(&str, &str)], Vec<_>)| {
        let call = http_call(cluster, headers, 100);
        let name = format!("an HTTP call: {name}");
        let trace = [&["a request_headers"], &trace[..]].concat();
        let mut case = case(&name, &[], &[Get('a'), Tick]).gives(&["a: hangs"], &trace);
        case.filter.push(("request_headers", format!("{} {PAUSE}", call.call)));
        case.filter.push(("http_call_response", answered.to_owned()));
        case.filter.push((DATA, call.data + status));
        case
    };
    calls.into_iter().map(case).collect()
}
