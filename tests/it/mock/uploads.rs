//! Uploads that flow control holds while their body arrives: the pod gets it once and in order, in every way into Envoy
//! and on every host.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use arbtest::{arbitrary::Unstructured, arbtest};
use host_mock::{Builder, LatePart, Stream};
use serde_json::{Value, json};

use super::{
    push::Pod,
    world::{Way, World, builder},
};

const NONE: &[(&str, &str)] = &[];

/// A request that is placed before its body: nothing of that is read.
const UPLOAD: &str = "/v1/audio/transcriptions";
const SOUND: &[(&str, &str)] = &[("content-type", "audio/wav")];

/// Longer than Envoy needs to carry messages between its workers, and than a tick.
const SOON: Duration = Duration::from_millis(40);

/// A host, by what is done there with a part of a body after a resume in its middle, and whether a reply of no stream
/// stops what a callback returns: so it is in each Envoy, and the bytes must not depend on it.
#[derive(Clone, Copy, Debug)]
struct Host {
    late_part: LatePart,
    keeps_bodies: bool,
}

impl Host {
    const ALL: [Self; 4] = [
        Self { late_part: LatePart::Lost, keeps_bodies: true },
        Self { late_part: LatePart::Repeated, keeps_bodies: true },
        Self { late_part: LatePart::Lost, keeps_bodies: false },
        Self { late_part: LatePart::Repeated, keeps_bodies: false },
    ];

    fn builder(self) -> Builder {
        let builder = builder().late_part(self.late_part);
        if self.keeps_bodies { builder } else { builder.reply_of_none_stops_nothing() }
    }
}

/// A pool that takes one request at a time.
fn gate() -> Value {
    let detector = "concurrency-detector";
    json!({
        "featureGates": ["flowControl"],
        "plugins": [{"type": detector, "parameters": {"maxConcurrency": 1}}],
        "flowControl": {"saturationDetector": {"pluginRef": detector}},
    })
}

/// A pool with its only place taken, and the stream that has it.
fn full(host: Builder, way: Way) -> (World, Stream) {
    let world = World::on(host, way, &gate());
    world.pods(&Pod::idles(1));
    let first = world.chat(0, "hello");
    assert!(first.sent().is_some());
    (world, first)
}

fn let_go(world: &World, first: &Stream) {
    first.respond(200, NONE, b"{}");
    world.envoy.run_for(SOON);
}

#[test]
fn a_body_that_is_half_there_goes_on_whole() {
    for (way, host) in Way::ALL.into_iter().flat_map(|way| Host::ALL.map(|host| (way, host))) {
        let (world, first) = full(host.builder(), way);
        let upload = world.envoy.worker(1).post_headers(UPLOAD, SOUND);
        upload.chunk(b"aaaa");
        upload.chunk(b"bbbb");
        world.envoy.run_for(SOON);
        assert_eq!(upload.sent(), None, "{way:?} {host:?}: there is no room");
        let_go(&world, &first);
        upload.chunk(b"cccc");
        upload.chunk(b"dddd");
        upload.end();
        let sent = upload.sent().unwrap();
        let body = String::from_utf8_lossy(&sent.body).into_owned();
        assert_eq!((body.as_str(), sent.complete), ("aaaabbbbccccdddd", true), "{way:?} {host:?}");
        assert_eq!(world.pod(&upload).number, 1);
        world.is_well();
    }
}

/// Where Envoy keeps the body, it needs no more of it before it tells the pod.
#[test]
fn the_pod_is_told_at_once() {
    for way in [Way::STOP_ITERATION_HEADER, Way::STOP_ITERATION_FILTER_STATE] {
        let (world, first) = full(builder(), way);
        let upload = world.envoy.worker(1).post_headers(UPLOAD, SOUND);
        upload.chunk(b"aaaa");
        let_go(&world, &first);
        let sent = upload.sent().unwrap();
        assert_eq!((sent.body.as_slice(), sent.complete), (&b"aaaa"[..], false), "{way:?}");
    }
}

/// It is no longer than another that finds room at once.
#[test]
fn a_body_above_envoys_buffer_is_not_refused_while_it_waits() {
    for way in Way::ALL {
        let (world, first) = full(builder().buffer_limit(1000), way);
        let upload = world.envoy.worker(1).post_headers(UPLOAD, SOUND);
        upload.chunk(&[b'x'; 5000]);
        assert_eq!(upload.status(), None, "{way:?}");
        let_go(&world, &first);
        upload.last_chunk(&[b'y'; 5000]);
        assert_eq!(upload.sent().unwrap().body.len(), 10_000, "{way:?}");
        world.is_well();
    }
}

/// The part of a body between two events.
fn part(u: &mut Unstructured<'_>) -> arbtest::arbitrary::Result<Vec<u8>> {
    let len = u.int_in_range(0..=9)?;
    (0..len).map(|_| u.int_in_range(b'a'..=b'z')).collect()
}

#[test]
fn whatever_the_parts_and_the_moment_the_bytes_are_the_same() {
    arbtest(|u| {
        let (way, host) = (*u.choose(&Way::ALL)?, *u.choose(&Host::ALL)?);
        let (world, first) = full(host.builder(), way);
        let upload = world.envoy.worker(u.int_in_range(0..=3)?).post_headers(UPLOAD, SOUND);
        let parts = u.int_in_range(0..=5)?;
        let moment = u.int_in_range(0..=parts + 1)?;
        let mut all = Vec::new();
        for index in 0..parts {
            if index == moment {
                let_go(&world, &first);
            }
            let part = part(u)?;
            upload.chunk(&part);
            all.extend(part);
        }
        if moment == parts {
            let_go(&world, &first);
        }
        if u.arbitrary()? {
            upload.trailers([("x-end", "1")].as_slice());
        } else {
            let part = part(u)?;
            upload.last_chunk(&part);
            all.extend(part);
        }
        if moment > parts {
            let_go(&world, &first);
        }
        let sent = upload.sent().unwrap();
        let [all, got] = [all, sent.body].map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!((got, sent.complete), (all, true), "{way:?} {host:?}, released at {moment}");
        world.is_well();
        Ok(())
    })
    .budget_ms(3_000);
}
