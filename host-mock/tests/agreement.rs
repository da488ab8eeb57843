//! What the mock and the real Envoy must agree on, as data: a filter, what clients do, and what
//! must come of it. The same cases run in both; the real half needs `ENVOY`, the path of an Envoy.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on should say where"
)]

#[path = "agreement/cases.rs"]
mod cases;
#[path = "agreement/filter.rs"]
mod filter;
#[path = "agreement/http_call.rs"]
mod http_call;
#[path = "agreement/late_parts.rs"]
mod late_parts;
#[path = "agreement/mock.rs"]
mod mock;
#[path = "agreement/real.rs"]
mod real;

/// What came of a case: one line per client, and the callbacks in order.
#[derive(Debug, PartialEq, Eq, Clone)]
struct Outcome {
    clients: Vec<String>,
    trace: Vec<String>,
}

/// What the fake upstream answers: the bytes of the body that it got, and what became of the
/// header `x-a`, which every client sends as `1` and `2`.
fn hello(body: usize, x_a: &str) -> String {
    match x_a {
        "1,2" => format!("hello {body}"),
        changed => format!("hello {body} x-a={changed}"),
    }
}

fn check(run: impl Fn(&cases::Case) -> Outcome) {
    let mut wrong = Vec::new();
    for case in cases::all().into_iter().chain(late_parts::all()) {
        if std::env::var("CASE").is_ok_and(|part| !case.name.contains(&part)) {
            continue;
        }
        let mut outcome = run(&case);
        // In how many pieces a body arrives is the network's matter.
        outcome.trace.dedup_by(|a, b| a == b && a.ends_with("_body"));
        if case.trace.is_none() {
            outcome.trace.clear();
        }
        let trace = case.trace.unwrap_or_default();
        let expected = Outcome {
            clients: case.clients.iter().map(|&line| line.to_owned()).collect(),
            trace: trace.into_iter().map(str::to_owned).collect(),
        };
        if outcome != expected {
            wrong.push(format!("{}\n  want {expected:?}\n  have {outcome:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_mock_agrees() {
    check(mock::run);
}

#[test]
#[ignore = "needs ENVOY=/path/to/envoy; about a second a case"]
fn the_real_envoy_agrees() {
    check(real::run);
}
