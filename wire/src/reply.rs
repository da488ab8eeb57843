//! The gateway's reply to a push, and the body of its own request where it fetches: what only the
//! gateway knows of the pool.
//!
//! A reply is a list of sections, each with its kind in front, so that scraper and filter are
//! upgraded apart: an unknown kind is passed over, and so is what a newer version appends to a
//! section. It is signed with the secret of the pushes over the stamp of the push that it answers
//! (or its own stamp, where the gateway fetches), the gateway's id and the body.

mod session;

use picker_core::saturation::StageSaturations;
use serde::Deserialize;

use crate::{
    FrameError,
    beliefs::{Beliefs, BeliefsRecord},
    details::{Details, DetailsRecord},
    frame::{Frame, bound},
    push::{Secret, Stamp},
    report::Report,
    tally::chunk::{self, Bytes},
    texts,
};

pub use session::{Have, Sessions, Wanted};

/// Media type of a reply.
pub const MEDIA_TYPE: &str = "application/vnd.llm-picker.reply";

/// Header by which the scraper asks for a reply, with the version that it reads; a filter of before
/// that knows only [`crate::report::MEDIA_TYPE`] in `accept`.
pub const REPLY_HEADER: &str = "x-llm-picker-reply";

/// Version of replies, for [`REPLY_HEADER`].
pub const VERSION: &str = "1";

/// Header by which the scraper says which reply it has, so that only what is new is sent.
pub const HAVE_HEADER: &str = "x-llm-picker-have";

/// Header with the id of the gateway, 16 hexadecimal digits.
pub const GATEWAY_HEADER: &str = "x-llm-picker-gateway";

/// Bytes of a reply at most. 4,096 endpoints with requests in flight are 150 kB, a thousand flows
/// that wait 150 kB, 1,024 workers 20 kB, decisions 48 kB, counts are [`COUNTS_BYTES_MAX`], and a report for the other
/// gateways is [`crate::exchange::REPORT_BYTES_MAX`] at most, which no pool of that size comes near.
pub const REPLY_BYTES_MAX: usize = 1 << 20;

/// Bytes of counts in one reply at most; the others come with the next. Some 600 label sets: all
/// that usually changes within a second.
pub const COUNTS_BYTES_MAX: usize = 256 << 10;

const FRAME: Frame = Frame { magic: *b"LPA", version: 1 };

/// Kinds of sections. A number is never used again for another meaning.
const REPORT: u8 = 1;
const COUNTS: u8 = 2;
/// Kinds 4 to 7 are kept for the exchange between gateways too.
const EXCHANGE: u8 = 3;
const BELIEFS: u8 = 8;
const TEXTS: u8 = 9;
const DETAILS: u8 = 10;
const STAGES: u8 = 11;

/// Reply of a gateway about one pool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// Requests in flight and waiting, and decisions.
    pub report: Report,
    /// Counts of the gateway's workers.
    pub counts: Counts,
    /// Beliefs of the gateway's workers, merged.
    pub beliefs: Beliefs,
    /// Saturation of each stage of the pool, by the worker that sees the most.
    pub stages: StageSaturations,
    /// Report for the other gateways, as [`crate::exchange::decode_report`] reads it, if it was asked for.
    pub exchange: Option<Vec<u8>>,
}

/// Counts of a gateway's workers that are new to the scraper.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Reply as the scraper names it with its next request.
    pub have: Have,
    /// Workers that have counts, those that died among them.
    pub workers: Vec<WorkerState>,
    /// Label sets that are new, by the worker's place in `workers`, as
    /// [`crate::tally::LabelSet::decode`] reads them.
    pub sets: Vec<(u32, Vec<u8>)>,
}

/// State of a worker.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, Deserialize)]
pub struct WorkerState {
    /// Number that names the worker's counts.
    pub epoch: u64,
    /// True if the worker has written lately, so that its gauges are those of now.
    pub is_alive: bool,
    /// Saturation of the pool, if the worker can tell.
    pub saturation: Option<f64>,
    /// Entries of the worker's prefix index.
    pub indexed: u64,
}

#[derive(Deserialize)]
struct CountsRecord<'a> {
    have: Have,
    workers: Vec<WorkerState>,
    #[serde(borrow)]
    sets: Vec<(u32, &'a [u8])>,
}

impl Reply {
    /// Returns the bytes that [`Reply::decode`] reads.
    ///
    /// # Errors
    /// If they are more than [`REPLY_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        let Counts { have, workers, sets } = &self.counts;
        let sets: Vec<(u32, Bytes<'_>)> =
            sets.iter().map(|(worker, set)| (*worker, Bytes(set))).collect();
        let section =
            |value: Result<Vec<u8>, postcard::Error>| value.map_err(|_| FrameError::Malformed);
        let report = section(postcard::to_extend(&self.report, Vec::new()))?;
        let counts = section(postcard::to_extend(&(have, workers, sets), Vec::new()))?;
        let beliefs = BeliefsRecord::from_beliefs(&self.beliefs);
        let beliefs = section(postcard::to_extend(&beliefs, Vec::new()))?;
        let texts = texts::records(&self.beliefs.texts);
        let texts = section(postcard::to_extend(&texts, Vec::new()))?;
        let details = DetailsRecord::from_details(&self.report.details);
        let details = section(postcard::to_extend(&details, Vec::new()))?;
        let StageSaturations { prefill, decode } = self.stages;
        let stages = section(postcard::to_extend(&(prefill, decode), Vec::new()))?;
        let mut sections = vec![
            (REPORT, Bytes(&report)),
            (COUNTS, Bytes(&counts)),
            (BELIEFS, Bytes(&beliefs)),
            (TEXTS, Bytes(&texts)),
            (DETAILS, Bytes(&details)),
            (STAGES, Bytes(&stages)),
        ];
        sections.extend(self.exchange.as_deref().map(|it| (EXCHANGE, Bytes(it))));
        let bytes = FRAME.encode(&sections.as_slice())?;
        bound(bytes.len() <= REPLY_BYTES_MAX, "reply", "1 MiB")?;
        Ok(bytes)
    }

    /// Reads a reply; a section that is missing is empty.
    ///
    /// # Errors
    /// For bytes that are none, or too many.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        bound(bytes.len() <= REPLY_BYTES_MAX, "reply", "1 MiB")?;
        let sections: Vec<(u8, &[u8])> = FRAME.decode(bytes)?;
        let mut reply = Self::default();
        let mut details = Details::default();
        for (kind, inside) in sections {
            match kind {
                REPORT => reply.report = read(inside)?,
                COUNTS => reply.counts = Counts::from_record(read(inside)?),
                EXCHANGE => reply.exchange = Some(inside.to_vec()),
                BELIEFS => reply.beliefs.stale = read::<BeliefsRecord>(inside)?.into_stale(),
                DETAILS => details = read::<DetailsRecord<'_>>(inside)?.into_details()?,
                STAGES => {
                    let (prefill, decode): (Option<f64>, Option<f64>) = read(inside)?;
                    let [prefill, decode] =
                        [prefill, decode].map(|it| it.filter(|it| it.is_finite()));
                    reply.stages = StageSaturations { prefill, decode };
                }
                TEXTS => reply.beliefs.texts = texts::measures(&read::<Vec<_>>(inside)?)?,
                _ => (),
            }
        }
        reply.report.details = details;
        Ok(reply)
    }
}

/// Reads a section, whatever a newer version has appended to it.
fn read<'a, T: Deserialize<'a>>(inside: &'a [u8]) -> Result<T, FrameError> {
    postcard::take_from_bytes(inside).map(|(value, _)| value).map_err(|_| FrameError::Malformed)
}

impl Counts {
    fn from_record(record: CountsRecord<'_>) -> Self {
        let CountsRecord { have, workers, sets } = record;
        let sets = sets.into_iter().map(|(worker, set)| (worker, set.to_vec())).collect();
        Self { have, workers, sets }
    }

    /// Adds the label sets of a worker's chunk that are newer than `version`. Returns false, and
    /// adds nothing, if they do not fit any more.
    pub fn add_chunk(&mut self, worker: u32, bytes: &[u8], version: u32) -> bool {
        let Ok(sets) = chunk::newer(bytes, version) else { return true };
        let size = |sets: &mut dyn Iterator<Item = usize>| sets.map(|len| len + 8).sum::<usize>();
        let before = size(&mut self.sets.iter().map(|(_, set)| set.len()));
        if before + size(&mut sets.iter().map(|set| set.len())) > COUNTS_BYTES_MAX {
            return false;
        }
        self.sets.extend(sets.into_iter().map(|set| (worker, set.to_vec())));
        true
    }
}

/// Returns what is signed beside a reply's body. It begins with a word, so that no signature of a
/// push, which begins with a number, is one of a reply.
fn signed_head(stamp: Stamp, gateway: u64) -> String {
    format!("reply\n{}\n{}\n{gateway:016x}\n", stamp.time_ms, stamp.sequence)
}

/// Returns the signature of a reply, for [`crate::push::SIGNATURE_HEADER`].
#[must_use]
pub fn sign(secret: &Secret, stamp: Stamp, gateway: u64, body: &[u8]) -> String {
    secret.sign_parts(&[signed_head(stamp, gateway).as_bytes(), body])
}

/// Checks the signature of a reply, in a time that says nothing of how much of it is right.
#[must_use]
pub fn is_signed(
    secret: &Secret,
    stamp: Stamp,
    gateway: u64,
    signature: &[u8],
    body: &[u8],
) -> bool {
    secret.verifies_parts(&[signed_head(stamp, gateway).as_bytes(), body], signature)
}

/// Reads a gateway's id.
#[must_use]
pub fn parse_gateway(text: &[u8]) -> Option<u64> {
    let text = str::from_utf8(text).ok().filter(|text| text.len() == 16)?;
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::{
        report::{Decisions, InFlight, Queue},
        tally::{Labels, Measure, WorkerTally},
    };

    fn reply() -> Reply {
        let mut tally = WorkerTally::default();
        let id = tally.place(&Labels::request("a", "b", "t", -1), true);
        tally.add(id, Measure::Requests, 1);
        let chunks = tally.flush(9);
        let mut counts = Counts {
            have: Have { session: 7, number: 3 },
            workers: vec![WorkerState {
                epoch: u64::MAX,
                is_alive: true,
                saturation: Some(0.5),
                indexed: 9,
            }],
            sets: Vec::new(),
        };
        assert!(counts.add_chunk(0, &chunks[0].1, 0));
        let report = Report {
            workers: 2,
            waiting: 3,
            decisions: Decisions { picked: 10, failed_open: 1, refused: 2 },
            in_flight: vec![InFlight {
                endpoint: SocketAddr::from(([10, 0, 0, 1], 8000)),
                requests: 4,
                tokens: 1200,
            }],
            queues: vec![Queue {
                priority: -1,
                fairness_id: "é".to_owned(),
                requests: 3,
                bytes: 900,
            }],
            details: Details { has_flow_control: true, ..Details::default() },
        };
        let stages = StageSaturations { prefill: None, decode: Some(0.5) };
        Reply { report, counts, beliefs: Beliefs::default(), stages, exchange: Some(vec![1, 2]) }
    }

    #[test]
    fn a_reply_reads_back() {
        let reply = reply();
        assert_eq!(Reply::decode(&reply.encode().unwrap()), Ok(reply));
        assert!(Reply::decode(&[]).is_err() && Reply::decode(b"{}").is_err());
        assert!(Reply::decode(&vec![0; REPLY_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn sections_and_fields_of_a_newer_version_are_passed_over() {
        let reply = reply();
        let mut report = postcard::to_extend(&reply.report, Vec::new()).unwrap();
        report.extend([1, 2, 3]);
        let sections = [(200, Bytes(b"news")), (REPORT, Bytes(&report))];
        let bytes = FRAME.encode(&sections.as_slice()).unwrap();
        let read = Reply::decode(&bytes).unwrap();
        let report = Report { details: Details::default(), ..reply.report };
        assert_eq!((read.report, read.counts), (report, Counts::default()));
    }

    #[test]
    fn any_change_breaks_the_signature() {
        let secret = Secret::new(b"secret of sixteen").unwrap();
        let stamp = Stamp { time_ms: 1, sequence: 2 };
        let signature = sign(&secret, stamp, 3, b"body");
        let is = |stamp, gateway, body: &[u8]| {
            is_signed(&secret, stamp, gateway, signature.as_bytes(), body)
        };
        assert!(is(stamp, 3, b"body"));
        assert!(!is(Stamp { sequence: 3, ..stamp }, 3, b"body"));
        assert!(!is(stamp, 4, b"body") && !is(stamp, 3, b"bodY"));
        assert!(!is_signed(&secret, stamp, 3, b"", b"body"));
        assert_ne!(signature, secret.sign(stamp, b"body"), "no push's signature is a reply's");
    }

    #[test]
    fn what_does_not_fit_is_left_for_the_next_reply() {
        let chunk = chunk::encode(&[(1, vec![0; COUNTS_BYTES_MAX / 2])]);
        let mut counts = Counts::default();
        assert!(counts.add_chunk(0, &chunk, 0) && !counts.add_chunk(0, &chunk, 0));
        assert!(counts.add_chunk(0, &chunk, 1), "nothing of it is new");
        assert_eq!(counts.sets.len(), 1);
    }
}
