//! The connections to the scraper's own pages. Clients of the pages are not authenticated, so no
//! address gets all connections, and none is kept that stands still: gateways that fetch their
//! snapshots need theirs.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::{ConnectInfo, Request},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time,
};
use tokio_io_timeout::TimeoutStream;
use tower::Service as _;
use tracing::{debug, warn};

use crate::peer::network;

/// Wait after a failure to accept, which is mostly one of file descriptors.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Bytes of a request's head, at most: a long path, and what proxies and browsers add. A connection holds as many
/// before anything is known of it.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Limits on connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Number of connections open at once. Further ones wait to be accepted.
    total: usize,
    /// Number of connections open at once of addresses that are not known. Further ones are closed.
    strangers: usize,
    /// Number of connections open at once from one known address, of IPv6 one network. Further ones are closed.
    per_known: usize,
    /// Number of connections open at once from one other address.
    per_stranger: usize,
    /// Longest time without the headers of a request, or with a client that does not read its
    /// answer.
    still: Duration,
}

impl Default for Limits {
    /// A gateway that fetches has a connection for each of its pools, which are 64 at most: room
    /// for two such behind one known address, and a quarter of all is for known ones alone. In all as many as take some
    /// 30 MB. Prometheus asks every 15 s or so, and may keep its connection, as browsers do.
    fn default() -> Self {
        Self {
            total: 1_024,
            strangers: 768,
            per_known: 128,
            per_stranger: 32,
            still: Duration::from_secs(30),
        }
    }
}

/// Serves until aborted. An address is known for as long as `is_known` holds, which a gateway's report makes it.
pub(super) async fn serve(
    listener: TcpListener,
    pages: Router,
    limits: Limits,
    is_known: impl Fn(IpAddr) -> bool,
) {
    let places = Arc::new(Semaphore::new(limits.total));
    let strangers = Arc::new(Semaphore::new(limits.strangers));
    let per_address = ConnectionLimit::default();
    let mut is_failing = false;
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => {
                is_failing = false;
                accepted
            }
            Err(why) => {
                if !std::mem::replace(&mut is_failing, true) {
                    warn!("failed to accept a connection to the pages: {why}");
                }
                time::sleep(ACCEPT_AGAIN_AFTER).await;
                continue;
            }
        };
        let is_known = is_known(peer.ip());
        let max = if is_known { limits.per_known } else { limits.per_stranger };
        let Some(permit) = per_address.acquire(network(peer.ip()), max) else {
            debug!("{peer} has {max} connections already");
            continue;
        };
        let stranger = match is_known {
            true => None,
            false => match Arc::clone(&strangers).try_acquire_owned() {
                Ok(place) => Some(place),
                Err(_) => {
                    debug!("{peer} is not known, and there are {} such already", limits.strangers);
                    continue;
                }
            },
        };
        let connection = connection(stream, peer, pages.clone(), limits.still);
        tokio::spawn(async move {
            connection.await;
            drop((place, stranger, permit));
        });
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, pages: Router, still: Duration) {
    // With delay an answer may wait for the acknowledgement of its headers.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(still));
    let pages = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        pages.clone().call(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(still).max_buf_size(HEAD_BYTES_MAX);
    let served = http.serve_connection(TokioIo::new(Box::pin(stream)), pages);
    if let Err(why) = served.await {
        debug!("the connection of {peer} ends: {why}");
    }
}

/// Number of connections of each address.
#[derive(Clone, Debug, Default)]
struct ConnectionLimit(Arc<Mutex<BTreeMap<IpAddr, usize>>>);

impl ConnectionLimit {
    /// Counts one more connection, or returns `None` if the address has `max` already.
    fn acquire(&self, address: IpAddr, max: usize) -> Option<ConnectionPermit> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(ConnectionPermit { address, limit: self.clone() })
    }
}

/// A connection, which is counted as long as the permit lives.
struct ConnectionPermit {
    address: IpAddr,
    limit: ConnectionLimit,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut counts = self.limit.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpSocket,
    };

    use super::*;

    /// More than the kernel keeps for a client that does not read.
    const LONG: usize = 64 << 20;

    const HOUR: Duration = Duration::from_secs(3600);

    async fn pages(limits: Limits) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let pages = Router::new()
            .route("/short", get("short"))
            .route("/long", get(|| async { vec![b'x'; LONG] }));
        // 127.0.0.9 has a gateway.
        let known = IpAddr::from([127, 0, 0, 9]);
        tokio::spawn(serve(listener, pages, limits, move |address| address == known));
        address
    }

    /// Connects from this address of the loopback.
    async fn connect_from(last: u8, to: SocketAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, last], 0).into()).unwrap();
        socket.connect(to).await.unwrap()
    }

    fn limits(total: usize, per_stranger: usize, still: Duration) -> Limits {
        Limits { total, strangers: total, per_known: per_stranger, per_stranger, still }
    }

    #[tokio::test]
    async fn strangers_leave_places_to_gateways_of_which_each_may_have_more() {
        let few = Limits { total: 6, strangers: 2, per_known: 3, per_stranger: 1, still: HOUR };
        let address = pages(few).await;
        let (mut open, mut answered) = (Vec::new(), Vec::new());
        for last in [1, 1, 2, 3, 9, 9, 9, 9] {
            let mut stream = connect_from(last, address).await;
            if is_answered(&mut stream).await {
                answered.push(last);
            }
            open.push(stream);
        }
        assert_eq!(answered, [1, 2, 9, 9, 9]);
    }

    #[tokio::test]
    async fn a_head_without_end_is_not_kept() {
        let address = pages(limits(1, 1, HOUR)).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /short HTTP/1.1\r\nhost: x\r\nlong: ").await.unwrap();
        let mut written = 0;
        while written < 1 << 20 && stream.write_all(&[b'x'; 4 << 10]).await.is_ok() {
            written += 4 << 10;
            time::sleep(Duration::from_millis(1)).await;
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
        assert!(written < 256 << 10, "{written} bytes of a head were taken");
    }

    async fn ask(stream: &mut TcpStream, path: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
    }

    /// True if there is an answer, and not the end of the connection.
    async fn is_answered(stream: &mut TcpStream) -> bool {
        let mut byte = [0];
        stream.write_all(b"GET /short HTTP/1.1\r\nhost: x\r\n\r\n").await.is_ok()
            && stream.read_exact(&mut byte).await.is_ok()
    }

    #[tokio::test]
    async fn one_address_has_so_many_and_gets_others_when_it_closes_some() {
        let address = pages(limits(8, 2, HOUR)).await;
        let mut open = Vec::new();
        for _ in 0..2 {
            open.push(TcpStream::connect(address).await.unwrap());
        }
        for stream in &mut open {
            assert!(is_answered(stream).await);
        }
        let mut third = TcpStream::connect(address).await.unwrap();
        assert!(!is_answered(&mut third).await);
        open.pop();
        while !is_answered(&mut TcpStream::connect(address).await.unwrap()).await {
            time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn what_stands_still_makes_room() {
        let still = Duration::from_millis(50);
        let address = pages(limits(1, 1, still)).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        assert_eq!(silent.read(&mut [0]).await.unwrap(), 0, "without a request it is closed");

        let mut deaf = TcpStream::connect(address).await.unwrap();
        ask(&mut deaf, "/long").await;
        // There is one place, so that this is answered when that of the deaf one is free.
        let mut next = TcpStream::connect(address).await.unwrap();
        assert!(is_answered(&mut next).await);
        let mut rest = Vec::new();
        let _ = deaf.read_to_end(&mut rest).await;
        assert!(rest.len() < LONG, "it got all of its answer");
    }
}
