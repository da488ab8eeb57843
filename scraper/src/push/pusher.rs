//! The task that pushes snapshots to one Envoy.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use http_body_util::Full;
use hyper::{
    Method, Request, Uri,
    header::{ACCEPT, HeaderName, HeaderValue},
};
use picker_core::exchange::GatewayId;
use tokio::sync::watch;
use tracing::info;
use wire::{
    exchange,
    push::WAITING_HEADER,
    reply::{HAVE_HEADER, Have, REPLY_BYTES_MAX, REPLY_HEADER, VERSION},
    report::{MEDIA_TYPE, Report},
};

use super::{
    reader::{ReadReply, ReplyReader, ReplyTaker},
    refusals::Refusals,
    signed_snapshot::{Round, SignedSnapshot, await_turn},
};
use crate::{
    exchange::SealedPart,
    meters::Meters,
    peer::{Answer, Client, Fault, Link, Notice, Peer, log_failure, log_success},
    pool::WaitingGateways,
    settings::EnvoyUrl,
};

/// Time between two requests for an Envoy's report: twice as often as the status page shows it.
const REPORT_INTERVAL: Duration = Duration::from_millis(500);

/// The state of one Envoy, as the status pages see it.
#[derive(Clone, Debug, Default)]
pub(crate) struct EnvoyStatus {
    /// Time when the Envoy last took a snapshot.
    pub(crate) taken: Option<Instant>,
    /// Reason why the Envoy is down, if it is.
    pub(crate) down: Option<String>,
    /// Last report on each pool.
    pub(crate) reports: BTreeMap<Arc<str>, TimedReport>,
    /// Id of the Envoy in the exchange; `None` while it takes no part.
    pub(crate) member: Option<GatewayId>,
}

/// A report with the time when it came.
#[derive(Clone, Debug)]
pub(crate) struct TimedReport {
    pub(crate) at: Instant,
    pub(crate) report: Report,
}

/// The task of one Envoy.
#[derive(Debug)]
pub(super) struct Pusher {
    pub(super) url: EnvoyUrl,
    pub(super) peer: Peer,
    /// Longest time for one push, connecting included.
    pub(super) timeout: Duration,
    pub(super) rounds: watch::Receiver<Option<Round>>,
    pub(super) status: watch::Sender<EnvoyStatus>,
    pub(super) meters: Arc<Meters>,
    pub(super) replies: ReplyTaker,
}

impl Pusher {
    /// Sends each round that is published while no other is on its way, until there are no more.
    pub(super) async fn run(mut self) {
        let mut client = match Client::new(self.peer.clone(), self.timeout, REPLY_BYTES_MAX) {
            Ok(client) => client,
            Err(fault) => return self.status.send_modify(|it| it.down = Some(fault.to_string())),
        };
        let mut record = PushRecord {
            refusals: Refusals::new(&self.url),
            held: HeldPools { url: self.url.clone(), pools: BTreeMap::new() },
            sent: BTreeMap::new(),
            reader: ReplyReader::new(format!("Envoy {}", self.url), self.replies.clone()),
            have: BTreeMap::new(),
            members: BTreeMap::new(),
        };
        let mut link = Link::new();
        let mut rest_until = Instant::now();
        let mut ask_at = Instant::now();
        // Rounds published before this gateway was there are new to it.
        self.rounds.mark_changed();
        while self.rounds.changed().await.is_ok() {
            let turn = record.id().map_or(Duration::ZERO, |id| self.replies.turn(id));
            await_turn(&self.rounds, turn).await;
            let began = Instant::now();
            let round = self.rounds.borrow_and_update().clone();
            let Some(round) = round.filter(|_| began >= rest_until) else { continue };
            let asks = began >= ask_at;
            if asks {
                ask_at = began + REPORT_INTERVAL;
            }
            let outcome = self.push(&mut client, &mut record, round.iter(), asks).await;
            self.judge(&mut link, &record.refusals, outcome);
            rest_until = began + link.wait();
            // A round that came meanwhile and was due has aged, and the next is at most one interval away: it
            // is skipped. Only a quiet snapshot is not, since the next may be a while.
            let newest = self.rounds.borrow().clone();
            let is_late = newest.as_ref().is_none_or(|round| round.due(turn) <= Instant::now());
            let mut newest = newest.iter().flat_map(Round::iter);
            if is_late && !newest.any(|it| it.is_quiet && !record.has(it)) {
                self.rounds.mark_unchanged();
            }
        }
    }

    /// Pushes one pool after another, until the Envoy can't be talked to. Returns true if the Envoy
    /// took any snapshot; with `asks`, it is asked for its reports.
    async fn push(
        &self,
        client: &mut Client,
        record: &mut PushRecord,
        round: impl Iterator<Item = &Arc<SignedSnapshot>>,
        asks: bool,
    ) -> Result<bool, Fault> {
        let mut took = false;
        for signed in round {
            if record.has(signed) || !record.refusals.is_due(&signed.pool) {
                continue;
            }
            record.sent.insert(Arc::clone(&signed.pool), signed.tag.clone());
            let have = record.have.get(&signed.pool).copied();
            let asked = PushQuestions {
                reply: if asks { Ask::Since(have) } else { Ask::Nothing },
                exchange: self.replies.wants_exchange(&signed.pool),
            };
            let member = record.members.get(&signed.pool).filter(|_| asked.exchange);
            let part = member.and_then(|id| self.replies.part(signed, *id));
            let outcome = push(client, signed, asked, part).await;
            self.meters.pushed(&self.url, &outcome);
            let holds = outcome.as_ref().is_ok_and(|answer| answer.holds);
            record.held.set(&signed.pool, &signed.waiting, holds);
            match outcome {
                Ok(answer) => {
                    record.refusals.took(&signed.pool);
                    took = true;
                    let report = record.read(signed, &answer.answer);
                    let report = report.map(|report| TimedReport { at: Instant::now(), report });
                    self.status.send_modify(|status| {
                        status.member = record.id();
                        status.reports.extend(report.map(|it| (Arc::clone(&signed.pool), it)));
                    });
                }
                Err(fault) if fault.is_answer() => record.refusals.refused(&signed.pool, &fault),
                Err(fault) => return Err(fault),
            }
        }
        Ok(took)
    }

    fn judge(&self, link: &mut Link, refusals: &Refusals, outcome: Result<bool, Fault>) {
        let now = Instant::now();
        let name = format!("Envoy {}", self.url);
        let down = match &outcome {
            Ok(took) => {
                match took.then(|| link.succeeded(now)).flatten() {
                    Some(Notice::Reached) => info!("{name} took its first snapshot"),
                    other => log_success(name, other),
                }
                refusals.lasting()
            }
            Err(fault) => {
                log_failure(name, link.failed(now, fault.kind()), fault);
                link.is_down().then(|| fault.to_string())
            }
        };
        self.status.send_modify(|status| {
            status.down = down;
            if outcome == Ok(true) {
                status.taken = Some(now);
            }
        });
    }
}

/// Pools that one gateway may hold requests of. A gateway that is gone holds none, also of a pool that has no snapshot any
/// more.
struct HeldPools {
    url: EnvoyUrl,
    pools: BTreeMap<Arc<str>, WaitingGateways>,
}

impl HeldPools {
    fn set(&mut self, pool: &Arc<str>, waiting: &WaitingGateways, holds: bool) {
        waiting.set(&self.url, holds);
        self.pools.entry(Arc::clone(pool)).or_insert_with(|| waiting.clone());
    }
}

impl Drop for HeldPools {
    fn drop(&mut self) {
        self.pools.values().for_each(|waiting| waiting.set(&self.url, false));
    }
}

/// Snapshots that one Envoy was sent, and those that it refused.
struct PushRecord {
    refusals: Refusals,
    held: HeldPools,
    /// Tag of each pool's last snapshot. A snapshot is sent once: an Envoy refuses a stamp that it
    /// has seen.
    sent: BTreeMap<Arc<str>, HeaderValue>,
    reader: ReplyReader,
    /// Last reply on each pool of which the counts were taken.
    have: BTreeMap<Arc<str>, Have>,
    /// Id of the Envoy in the exchange of each pool, where it takes part: of its last reply, as another
    /// Envoy may be behind the address.
    members: BTreeMap<Arc<str>, GatewayId>,
}

impl PushRecord {
    /// Returns the id of the Envoy in the exchange, which is the same for all pools.
    fn id(&self) -> Option<GatewayId> {
        self.members.values().next().copied()
    }

    fn has(&self, signed: &SignedSnapshot) -> bool {
        self.sent.get(&signed.pool) == Some(&signed.tag)
    }

    /// Takes in the reply to a push, if there is one. Returns the report on the pool, if that was asked for.
    fn read(&mut self, signed: &SignedSnapshot, answer: &Answer) -> Option<Report> {
        let read = self.reader.read_answer(&signed.pool, signed.stamp, answer);
        let pool = Arc::clone(&signed.pool);
        match read.as_ref().and_then(|read| read.member) {
            Some(id) => drop(self.members.insert(pool, id)),
            None => drop(self.members.remove(&pool)),
        }
        let ReadReply { report, have, .. } = read?;
        let report = report?;
        match have {
            Some(have) => drop(self.have.insert(Arc::clone(&signed.pool), have)),
            None => drop(self.have.remove(&signed.pool)),
        }
        Some(report)
    }
}

/// Questions that go with a push.
struct PushQuestions {
    reply: Ask,
    /// True if the gateway is to report to the others.
    exchange: bool,
}

/// Question for a reply.
enum Ask {
    /// None: the number of held requests is enough.
    Nothing,
    /// A reply, with the counts since this one.
    Since(Option<Have>),
}

/// Answer of an Envoy to a push.
struct PushAnswer {
    /// True if the Envoy holds requests of the pool.
    holds: bool,
    answer: Answer,
}

async fn push(
    client: &mut Client,
    signed: &SignedSnapshot,
    asked: PushQuestions,
    part: Option<SealedPart>,
) -> Result<PushAnswer, Fault> {
    let mut headers = signed.headers.clone();
    let body = signed.with_part(part, &mut headers);
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static("/v1/snapshot");
    *request.headers_mut() = headers;
    if asked.exchange {
        let version = HeaderValue::from_static(exchange::VERSION);
        request.headers_mut().insert(exchange::EXCHANGE_HEADER, version);
    }
    if let Ask::Since(have) = asked.reply {
        let headers = request.headers_mut();
        // A filter of before replies in JSON to this, and knows nothing of the other.
        headers.insert(ACCEPT, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(REPLY_HEADER, HeaderValue::from_static(VERSION));
        let have = have.and_then(|have| HeaderValue::try_from(have.to_string()).ok());
        headers.extend(have.map(|have| (HeaderName::from_static(HAVE_HEADER), have)));
    }
    let answer = client.ask(request).await?;
    let waiting = answer.headers.get(WAITING_HEADER).map(HeaderValue::as_bytes);
    let holds = waiting.is_some_and(|waiting| waiting != b"0");
    Ok(PushAnswer { holds, answer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_that_is_gone_holds_requests_of_no_pool() {
        let url: EnvoyUrl = "http://gateway".parse().unwrap();
        let mut held = HeldPools { url, pools: BTreeMap::new() };
        let pools = ["a", "b"].map(|name| (Arc::from(name), WaitingGateways::new()));
        for (pool, waiting) in &pools {
            held.set(pool, waiting, true);
        }
        let (first, waiting) = &pools[0];
        held.set(first, waiting, false);
        assert_eq!(pools.each_ref().map(|(_, it)| it.is_empty()), [true, false]);
        drop(held);
        assert!(pools.iter().all(|(_, it)| it.is_empty()));
    }
}
