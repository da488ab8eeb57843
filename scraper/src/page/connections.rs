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

/// Wait after a failure to accept, which is mostly one of file descriptors.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Limits on connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Number of connections open at once. Further ones wait to be accepted.
    total: usize,
    /// Number of connections open at once from one address. Further ones are closed.
    per_address: usize,
    /// Longest time without the headers of a request, or with a client that does not read its
    /// answer.
    still: Duration,
}

impl Default for Limits {
    /// A gateway that fetches has a connection for each of its pools, which are 64 at most: room
    /// for two such behind one address. In all as many as take some 30 MB. Prometheus asks every 15
    /// s or so, and may keep its connection.
    fn default() -> Self {
        Self { total: 1_024, per_address: 128, still: Duration::from_secs(30) }
    }
}

/// Serves until aborted.
pub(super) async fn serve(listener: TcpListener, pages: Router, limits: Limits) {
    let places = Arc::new(Semaphore::new(limits.total));
    let per_address = ConnectionLimit::default();
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(why) => {
                warn!("failed to accept a connection to the pages: {why}");
                time::sleep(ACCEPT_AGAIN_AFTER).await;
                continue;
            }
        };
        let Some(permit) = per_address.acquire(peer.ip(), limits.per_address) else {
            debug!("{peer} has {} connections already", limits.per_address);
            continue;
        };
        let connection = connection(stream, peer, pages.clone(), limits.still);
        tokio::spawn(async move {
            connection.await;
            drop((place, permit));
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
    http.timer(TokioTimer::new()).header_read_timeout(still);
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

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
        tokio::spawn(serve(listener, pages, limits));
        address
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
        let address = pages(Limits { total: 8, per_address: 2, still: HOUR }).await;
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
        let address = pages(Limits { total: 1, per_address: 1, still }).await;
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
