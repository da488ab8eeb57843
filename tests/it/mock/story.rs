//! Stories as scripts that carry their own outcome: told again, they must read the same.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, and says where it was")]

use std::{collections::BTreeMap, time::Duration};

use host_mock::Stream;

use super::{
    push::Pod,
    world::{World, about},
};

/// Plays each line of the script and writes what came of it behind `=>`. The result must be the
/// script itself.
///
/// | line | does |
/// |---|---|
/// | `pods 0.0 0.5 down ?` | a push: pods 1, 2, …, by used KV cache, by health, or without metrics |
/// | `2 asks b about rivers` | request b reaches worker 2 |
/// | `b gets 503` | the pod answers |
/// | `b gets 200 from 2` | pod 2 does, to which Envoy went when the first refused |
/// | `b is refused`, `b is reset`, `b times out`, `b leaves` | it does not |
/// | `b ends` | the answer that began as above does |
/// | `300 ms pass` | by Envoy's clock |
/// | `2 dies` | worker 2's VM |
#[track_caller]
pub(super) fn tell(world: &World, script: &str) {
    let mut streams = BTreeMap::new();
    let mut told = String::new();
    let mut meant = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let action = line.split("=>").next().unwrap().trim();
        let outcome = play(world, &mut streams, action);
        let arrow = if outcome.is_empty() { "" } else { " => " };
        told.push_str(&format!("{action}{arrow}{outcome}\n"));
        meant.push_str(&format!("{line}\n"));
    }
    assert!(told == meant, "it was told:\n{meant}\nand this happened:\n{told}");
}

fn play(world: &World, streams: &mut BTreeMap<String, Stream>, action: &str) -> String {
    let words: Vec<&str> = action.split_whitespace().collect();
    let no_headers: &[(&str, &str)] = &[];
    match words.as_slice() {
        ["pods", states @ ..] => {
            world.pods(&states.iter().zip(1..).map(pod).collect::<Vec<_>>());
            return String::new();
        }
        [worker, "asks", name, "about", topic] => {
            let stream = world.chat(worker.parse().unwrap(), &about(topic));
            let outcome = outcome(world, &stream);
            streams.insert((*name).to_owned(), stream);
            return outcome;
        }
        [name, "gets", status] => {
            let body = b"{}";
            stream(streams, name).respond(status.parse().unwrap(), no_headers, body);
        }
        [name, "gets", status, "from", pod] => {
            stream(streams, name).upstream_address(&format!("10.0.0.{pod}:8000"));
            stream(streams, name).respond_headers(status.parse().unwrap(), no_headers);
        }
        [name, "ends"] => stream(streams, name).respond_end(),
        [name, "is", "refused"] => stream(streams, name).refuse(),
        [name, "is", "reset"] => stream(streams, name).upstream_resets(),
        [name, "times", "out"] => stream(streams, name).upstream_times_out(),
        [name, "leaves"] => stream(streams, name).disconnect(),
        [millis, "ms", "pass"] => {
            world.envoy.run_for(Duration::from_millis(millis.parse().unwrap()));
        }
        [worker, "dies"] => world.envoy.worker(worker.parse().unwrap()).kill(),
        _ => panic!("no such line: {action:?}"),
    }
    String::new()
}

fn outcome(world: &World, stream: &Stream) -> String {
    match (stream.sent(), stream.status()) {
        (Some(_), _) => format!("pod {}", world.pod(stream).number),
        (None, Some(status)) => status.to_string(),
        (None, None) => "held".to_owned(),
    }
}

fn pod((state, number): (&&str, u8)) -> Pod {
    let pod = Pod::idle(number);
    match *state {
        "down" => Pod { up: false, ..pod },
        "?" => Pod { kv_usage: None, ..pod },
        usage => Pod { kv_usage: Some(usage.parse().unwrap()), ..pod },
    }
}

fn stream<'a>(streams: &'a BTreeMap<String, Stream>, name: &str) -> &'a Stream {
    streams.get(name).unwrap_or_else(|| panic!("nobody asked {name:?}"))
}
