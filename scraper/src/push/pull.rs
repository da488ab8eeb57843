//! Gateways that fetch their snapshots, where no connection to them is allowed.

mod complaints;
mod fetchers;
mod reads;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use axum::{
    body::Body,
    extract::{ConnectInfo, Path, State},
    http::{
        HeaderMap, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH},
    },
    response::{IntoResponse, Response},
};
use hyper::body::Body as _;
use picker_core::exchange::GatewayId;
use tokio::{sync::watch, time};
use wire::{
    exchange,
    push::{self, Clocks, SEQUENCE_HEADER, SIGNATURE_HEADER, TIME_HEADER},
    reply::{HAVE_HEADER, Have, REPLY_BYTES_MAX},
};

use super::{
    pusher::EnvoyStatus,
    reader::ReplyTaker,
    signed_snapshot::{Round, SignedSnapshot, await_turn},
};
use crate::{
    clock::unix_ms,
    exchange::SealedPart,
    peer::{BodyFault, read_whole},
};
use complaints::Complaints;
use fetchers::{Fetchers, ReportSender};
use reads::ReadRoom;

/// Time for which a gateway that states no preference is kept waiting for something new.
const WAIT_DEFAULT: Duration = Duration::ZERO;

/// The longest wait that a gateway may ask for: proxies end idle requests after a minute.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Longest time for a report to come whole.
const READ_TIME_MAX: Duration = Duration::from_secs(5);

/// The state that all fetches share.
#[derive(Clone, Debug)]
pub(crate) struct PullState {
    pools: Arc<[Arc<str>]>,
    rounds: watch::Receiver<Option<Round>>,
    gateways: Fetchers,
    replies: ReplyTaker,
    reads: ReadRoom,
    complaints: Complaints,
    /// Start of the clock by which reports are told from recorded ones.
    began: Instant,
}

impl PullState {
    pub(crate) fn new(
        pools: Arc<[Arc<str>]>,
        rounds: watch::Receiver<Option<Round>>,
        replies: ReplyTaker,
    ) -> Self {
        let (gateways, complaints) = (Fetchers::default(), Complaints::default());
        let (reads, began) = (ReadRoom::default(), Instant::now());
        Self { pools, rounds, gateways, replies, reads, complaints, began }
    }

    /// Returns the gateways that fetch with their names, as those that are pushed to are seen: taken is when each
    /// last asked.
    pub(crate) fn gateways(&self, now: Instant) -> Vec<(String, EnvoyStatus)> {
        self.gateways.statuses(now)
    }

    /// True while a gateway is there at this address of which a report was taken.
    pub(crate) fn is_known(&self, address: IpAddr, now: Instant) -> bool {
        self.gateways.is_known(address, now)
    }

    /// Takes in a gateway's report. Returns what came of it.
    async fn take(
        &self,
        asked: &Asked<'_>,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<KnownGateway, String> {
        let header = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
        let signed = push::Headers::parse(
            header(TIME_HEADER),
            header(SEQUENCE_HEADER),
            header(SIGNATURE_HEADER),
        );
        let stamp = signed.map_err(|why| why.to_string())?.stamp;
        let gateway = self.replies.claimed(headers)?;
        let sender = ReportSender { gateway, pool: asked.pool, address: asked.address, stamp };
        self.gateways.check(sender, self.clocks())?;
        let body = self.read(asked.address, body).await?;
        // From here on nothing is awaited, and of reports that are on their way at once each is judged by those
        // that were taken before it.
        self.replies.verify(gateway, stamp, headers, &body)?;
        let now = Instant::now();
        self.gateways.take(sender, self.clocks(), now)?;
        let reply = self.replies.take_verified(asked.pool, gateway, headers, &body)?;
        let known = KnownGateway { have: reply.have, member: reply.member };
        self.gateways.keep(sender, reply, now);
        Ok(known)
    }

    /// Reads a report of which nothing is known yet.
    async fn read(&self, address: IpAddr, body: Body) -> Result<bytes::Bytes, String> {
        let too_large = || format!("found a longer report; allowed: {REPLY_BYTES_MAX} bytes");
        // Without a length it may be the longest.
        let expected = body.size_hint().exact().map_or(Ok(REPLY_BYTES_MAX), usize::try_from);
        let expected = expected.ok().filter(|it| *it <= REPLY_BYTES_MAX).ok_or_else(too_large)?;
        let is_known = self.gateways.is_known(address, Instant::now());
        let _permit = self.reads.take(address, expected, is_known).ok_or_else(|| {
            "found too many reports of its address, or of all, that are still on their way"
                .to_owned()
        })?;
        let read = time::timeout(READ_TIME_MAX, read_whole(body, REPLY_BYTES_MAX)).await;
        let read = read.map_err(|_| format!("the report took over {READ_TIME_MAX:?}"))?;
        read.map_err(|why| match why {
            BodyFault::TooLarge => too_large(),
            BodyFault::Broken(why) => format!("failed to read the report: {why}"),
        })
    }

    fn clocks(&self) -> Clocks {
        let wall_ms = unix_ms(SystemTime::now());
        let passed = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Clocks { wall_ms, steady: picker_core::Instant::from_nanos(passed) }
    }
}

/// A request for a snapshot.
struct Asked<'a> {
    pool: &'a Arc<str>,
    address: IpAddr,
}

/// Knowledge of a gateway by its report.
#[derive(Debug, Default)]
struct KnownGateway {
    /// Name of the reply of which the counts were taken.
    have: Option<Have>,
    /// Id, if the gateway takes part in the exchange.
    member: Option<GatewayId>,
}

/// Answers a POST to `/v1/pools/{pool}/snapshot`, which brings the gateway's report, as a GET. A
/// report that is refused, or finds no room, keeps no snapshot from the gateway: the log has the reason.
pub(crate) async fn report_and_snapshot(
    State(pulls): State<PullState>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(pool): Path<String>,
    asked: HeaderMap,
    body: Body,
) -> Response {
    let known = pulls.pools.iter().find(|known| ***known == *pool).cloned();
    let known = match known {
        Some(pool) => {
            let of = Asked { pool: &pool, address: peer.ip() };
            let taken = pulls.take(&of, &asked, body).await;
            let refused = |why: String| pulls.complaints.refused(peer.ip(), &why);
            taken.map_err(refused).unwrap_or_default()
        }
        None => KnownGateway::default(),
    };
    let wants_exchange = pulls.replies.wants_exchange(&pool);
    let mut response = fetch(&pulls, peer.ip(), &pool, &asked, known.member).await;
    let have = known.have.and_then(|have| HeaderValue::try_from(have.to_string()).ok());
    let headers = response.headers_mut();
    headers.extend(have.map(|it| (HeaderName::from_static(HAVE_HEADER), it)));
    if wants_exchange {
        headers.insert(exchange::EXCHANGE_HEADER, HeaderValue::from_static(exchange::VERSION));
    }
    response
}

/// Answers `/v1/pools/{pool}/snapshot` with the same bytes under the same signature as a push. A
/// gateway that has the newest snapshot (`If-None-Match`) waits for the next, as long as it prefers
/// (RFC 7240).
pub(crate) async fn snapshot(
    State(pulls): State<PullState>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(pool): Path<String>,
    asked: HeaderMap,
) -> Response {
    fetch(&pulls, peer.ip(), &pool, &asked, None).await
}

/// Answers a request of this address, with a part for the gateway where it takes part in the exchange.
async fn fetch(
    pulls: &PullState,
    address: IpAddr,
    pool: &str,
    asked: &HeaderMap,
    member: Option<GatewayId>,
) -> Response {
    if !pulls.pools.iter().any(|known| **known == *pool) {
        let known = pulls.pools.join(", ");
        let said = format!("found pool {pool:?}; allowed: {known}\n");
        return (StatusCode::NOT_FOUND, said).into_response();
    }
    pulls.gateways.asked(address, Instant::now());
    let tag = asked.get(IF_NONE_MATCH);
    let mut rounds = pulls.rounds.clone();
    let newer = rounds.wait_for(|round| find(round, pool, |it| tag != Some(&it.tag)) == Some(true));
    let is_new = matches!(time::timeout(wait(asked), newer).await, Ok(Ok(_)));
    if let Some(id) = member.filter(|_| is_new) {
        await_turn(&pulls.rounds, pulls.replies.turn(id)).await;
    }
    let answer = find(&pulls.rounds.borrow(), pool, |signed| {
        let part = member.filter(|_| is_new);
        answer(signed, part.and_then(|id| pulls.replies.part(signed, id)))
    });
    match answer {
        Some(_) if !is_new => StatusCode::NOT_MODIFIED.into_response(),
        Some(answer) => answer,
        None => (StatusCode::SERVICE_UNAVAILABLE, "the pool is not known yet\n").into_response(),
    }
}

/// Applies `then` to the pool's snapshot, if there is one.
fn find<T>(
    round: &Option<Round>,
    pool: &str,
    then: impl FnOnce(&SignedSnapshot) -> T,
) -> Option<T> {
    round.iter().flat_map(Round::iter).find(|it| *it.pool == *pool).map(|it| then(it))
}

fn answer(signed: &SignedSnapshot, part: Option<SealedPart>) -> Response {
    let mut headers = signed.headers.clone();
    let body = signed.with_part(part, &mut headers);
    headers.insert(ETAG, signed.tag.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    (headers, body).into_response()
}

/// Reads `Prefer: wait=SECONDS`.
fn wait(asked: &HeaderMap) -> Duration {
    let prefer = asked.get(HeaderName::from_static("prefer")).and_then(|it| it.to_str().ok());
    let mut preferences = prefer.into_iter().flat_map(|it| it.split([',', ';']));
    let seconds = preferences.find_map(|it| it.trim().strip_prefix("wait=")?.parse().ok());
    seconds.map_or(WAIT_DEFAULT, Duration::from_secs).min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use futures_util::{FutureExt as _, StreamExt as _, stream};
    use wire::reply::{GATEWAY_HEADER, MEDIA_TYPE, Reply, sign};

    use super::*;
    use crate::{
        exchange::{Epochs, Exchanges},
        settings::Secret,
        tallies::Tallies,
    };

    fn pulls() -> PullState {
        let secret = Secret::new(b"a secret of more than sixteen bytes").unwrap();
        let exchanges =
            Exchanges::new(Instant::now(), Epochs::new(5, 0), Duration::from_millis(50));
        let replies = ReplyTaker {
            secret: watch::channel(secret).1,
            tallies: Arc::<Tallies>::default(),
            exchanges: Arc::new(exchanges),
        };
        PullState::new([Arc::from("a")].into(), watch::channel(None).1, replies)
    }

    /// The headers of a gateway's report, and its body.
    fn report(pulls: &PullState, uptime_ms: u64) -> (HeaderMap, Vec<u8>) {
        let stamp = push::Stamp::new(unix_ms(SystemTime::now()), 1, uptime_ms);
        let body = Reply::default().encode().unwrap();
        let signature = sign(pulls.replies.secret.borrow().key(), stamp, 7, &body);
        let headers = [
            (TIME_HEADER, stamp.time_ms.to_string()),
            (SEQUENCE_HEADER, stamp.sequence.to_string()),
            (SIGNATURE_HEADER, signature),
            (GATEWAY_HEADER, format!("{:016x}", 7)),
            (CONTENT_TYPE.as_str(), MEDIA_TYPE.to_owned()),
        ];
        let header = |(name, value): (&'static str, String)| {
            (HeaderName::from_static(name), HeaderValue::try_from(value).unwrap())
        };
        (headers.map(header).into_iter().collect(), body)
    }

    fn asked(pool: &Arc<str>, address: [u8; 4]) -> Asked<'_> {
        Asked { pool, address: address.into() }
    }

    #[tokio::test]
    async fn strangers_that_never_end_keep_no_report_waiting() {
        let (pulls, pool) = (pulls(), Arc::from("a"));
        let (mut headers, _) = report(&pulls, 1);
        headers.insert(GATEWAY_HEADER, HeaderValue::from_static("00000000000000aa"));
        let endless = || Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        // Of the gateway one report was taken, and it is known from there.
        let (first, body) = report(&pulls, 1);
        let of = asked(&pool, [10, 1, 0, 1]);
        pulls.take(&of, &first, Body::from(body)).now_or_never().unwrap().unwrap();
        let strangers: Vec<_> = (0..200).map(|at| asked(&pool, [10, 0, at, 1])).collect();
        let (mut reads, mut refused) = (Vec::new(), 0);
        for stranger in &strangers {
            let mut read = pulls.take(stranger, &headers, endless()).boxed_local();
            match read.as_mut().now_or_never() {
                None => reads.push(read),
                Some(taken) => refused += usize::from(taken.is_err()),
            }
        }
        assert!(reads.len() < 20 && reads.len() + refused == 200, "{} are read", reads.len());
        let (next, body) = report(&pulls, 2);
        let taken = pulls.take(&of, &next, Body::from(body)).now_or_never();
        assert!(taken.expect("it waits").is_ok());
    }

    #[tokio::test]
    async fn a_report_counts_once_wherever_it_comes_from() {
        let (pulls, pool) = (pulls(), Arc::from("a"));
        let (headers, body) = report(&pulls, 1);
        let (here, there) = (asked(&pool, [10, 0, 0, 1]), asked(&pool, [10, 0, 0, 2]));
        let (sender, late) = tokio::sync::oneshot::channel::<Bytes>();
        let late = stream::once(late).map(|it| it.map_err(std::io::Error::other));
        let mut slow = pulls.take(&here, &headers, Body::from_stream(late)).boxed_local();
        assert!(slow.as_mut().now_or_never().is_none(), "it is on its way");
        let taken = pulls.take(&there, &headers, Body::from(body.clone())).now_or_never();
        taken.unwrap().unwrap();
        sender.send(Bytes::from(body.clone())).unwrap();
        assert!(slow.now_or_never().unwrap().is_err());
        assert!(pulls.take(&here, &headers, Body::from(body)).now_or_never().unwrap().is_err());
        assert_eq!(pulls.gateways(Instant::now()).len(), 1);
    }

    #[test]
    fn a_preference_is_seconds_within_bounds() {
        let wait = |value: &'static str| {
            let headers = [(HeaderName::from_static("prefer"), HeaderValue::from_static(value))];
            wait(&headers.into_iter().collect())
        };
        assert_eq!(wait("wait=1"), Duration::from_secs(1));
        assert_eq!(wait("respond-async, wait=10"), Duration::from_secs(10));
        assert_eq!(wait("wait=999999"), WAIT_MAX);
        assert_eq!(wait("wait=soon"), WAIT_DEFAULT);
        assert_eq!(super::wait(&HeaderMap::new()), WAIT_DEFAULT);
    }
}
