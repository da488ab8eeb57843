//! Plans of an upload, drawn from a seed.

use std::{fmt, time::Duration};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// Length of the random block that a body repeats: prime, so that frames in another order or twice are other bytes.
const BLOCK: usize = 65_537;

/// Frames of a body at most: each takes a turn of Envoy's loop.
const FRAMES_MAX: usize = 40;

/// Paths of requests that are placed before their body is read.
const PATHS: [&str; 4] = ["/v1/rerank", "/v1/score", "/tokenize", "/v1/audio/transcriptions"];

/// The way in which a body says where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Length,
    Chunked,
    Http2,
    Http2Trailers,
}

/// The moment at which the request may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before this frame is sent.
    Before(usize),
    /// While frames are sent, this long after the first.
    During(Duration),
    /// Behind the last frame, or as soon as Envoy takes no more.
    AfterEnd,
}

/// One upload.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) protocol: Protocol,
    pub(super) path: &'static str,
    pub(super) moment: Moment,
    pub(super) body: Bytes,
    /// Ends of the frames in the body.
    ends: Vec<usize>,
}

impl Plan {
    /// Draws a plan for a body of so many bytes at most.
    pub(super) fn random(rng: &mut fastrand::Rng, bytes_max: usize) -> Self {
        let protocols =
            [Protocol::Length, Protocol::Chunked, Protocol::Http2, Protocol::Http2Trailers];
        let protocol = rng.choice(protocols).unwrap_or(Protocol::Length);
        // A length of 0 says with the headers that no body comes: such a request is not held.
        let size = size(rng, bytes_max).max(usize::from(protocol == Protocol::Length));
        let mut ends: Vec<usize> =
            (1..rng.usize(1..=FRAMES_MAX)).map(|_| rng.usize(0..=size)).collect();
        ends.push(size);
        ends.sort_unstable();
        ends.dedup();
        let moment = match rng.u8(0..8) {
            0 => Moment::Before(0),
            1..=3 => Moment::Before(rng.usize(0..ends.len())),
            4..=6 => Moment::During(Duration::from_micros(rng.u64(0..3_000))),
            _ => Moment::AfterEnd,
        };
        let mut block = vec![0; BLOCK];
        rng.fill(&mut block);
        let body: Vec<u8> = block.iter().copied().cycle().take(size).collect();
        Self {
            protocol,
            path: rng.choice(PATHS).unwrap_or_default(),
            moment,
            body: body.into(),
            ends,
        }
    }

    /// Returns the frames in their order.
    pub(super) fn frames(&self) -> impl Iterator<Item = Bytes> + '_ {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| self.body.slice(start..*end))
    }

    /// Returns what the pod says of this body when it got it.
    pub(super) fn receipt(&self) -> String {
        receipt(self.body.len(), Sha256::new_with_prefix(&self.body))
    }
}

/// Returns a pod's word on a body.
pub(super) fn receipt(bytes: usize, hash: Sha256) -> String {
    let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{bytes} {hash}")
}

/// A size of any magnitude, and those around Envoy's limits more often than others.
fn size(rng: &mut fastrand::Rng, max: usize) -> usize {
    const LIMITS: [usize; 4] = [16_384, 1 << 20, 8 << 20, 34_603_008];
    let size = match rng.u8(0..10) {
        0 => rng.usize(0..=2),
        1 => rng.choice(LIMITS).unwrap_or_default() + rng.usize(0..=2) - 1,
        2 => rng.usize(0..=max),
        _ => {
            let magnitude = rng.u32(4..22);
            rng.usize(0..=1 << magnitude)
        }
    };
    size.min(max)
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "HTTP/1.1 with a length",
            Self::Chunked => "HTTP/1.1 chunked",
            Self::Http2 => "HTTP/2",
            Self::Http2Trailers => "HTTP/2 with trailers",
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, path, moment, body, ends } = self;
        let (bytes, frames) = (body.len(), ends.len());
        write!(f, "{path} over {protocol}, {bytes} bytes in {frames} frames, released {moment:?}")
    }
}
