//! A kept-alive HTTP connection to one peer, opened when needed: HTTP/1.1 or HTTP/2, with or
//! without TLS.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Request, StatusCode, Uri,
    body::Incoming,
    client::conn::{http1, http2},
    header::{HOST, HeaderValue},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use super::{fault::Fault, message::error_message, tls::TlsClient};
use crate::task::Task;

/// The place of a peer and the protocol that it speaks.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// `HOST:PORT` to connect to; a name is looked up for each new connection.
    pub(crate) authority: String,
    /// `HOST[:PORT]` as requests and certificates name it.
    pub(crate) host: String,
    /// TLS, if the peer speaks it.
    pub(crate) tls: Option<Arc<TlsClient>>,
    /// True for HTTP/2 without negotiation.
    pub(crate) http2: bool,
}

/// A 2xx answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A client that asks one peer, one request at a time.
#[derive(Debug)]
pub(crate) struct Client {
    peer: Peer,
    host: HeaderValue,
    /// Longest time for a whole exchange, connecting included.
    timeout: Duration,
    /// Bytes of the longest answer that is read.
    answer_bytes_max: usize,
    /// The open connection. It is taken out during an exchange, and only an exchange that ended
    /// well puts it back.
    connection: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    sender: Sender,
    /// Task that drives the connection.
    _driver: Task,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    /// Creates a client without a connection.
    ///
    /// # Errors
    /// If the host can't be written into a header.
    pub(crate) fn new(
        peer: Peer,
        timeout: Duration,
        answer_bytes_max: usize,
    ) -> Result<Self, Fault> {
        let host = HeaderValue::try_from(&peer.host).map_err(|_| {
            Fault::Unreachable(format!("invalid host {:?}: must fit into a header", peer.host))
        })?;
        Ok(Self { peer, host, timeout, answer_bytes_max, connection: None })
    }

    /// Sends `request` and returns a 2xx answer.
    pub(crate) async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Fault> {
        match time::timeout(self.timeout, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(Fault::TimedOut(self.timeout)),
        }
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Fault> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.peer).await?,
        };
        if !connection.sender.is_ready().await {
            // The peer has closed the connection since the last answer, as it may.
            connection = connect(&self.peer).await?;
        }
        let request = self.addressed(request, &connection.sender)?;
        let (head, body) = connection.sender.send(request).await?.into_parts();
        let body = read(body, self.answer_bytes_max).await?;
        self.connection = Some(connection);
        if head.status.is_success() {
            Ok(Answer { headers: head.headers, body })
        } else {
            Err(unwelcome(head.status, &body))
        }
    }

    /// Names the host: HTTP/1.1 does so in a header, HTTP/2 in the target.
    fn addressed(
        &self,
        mut request: Request<Full<Bytes>>,
        sender: &Sender,
    ) -> Result<Request<Full<Bytes>>, Fault> {
        match sender {
            Sender::Http1(_) => drop(request.headers_mut().insert(HOST, self.host.clone())),
            Sender::Http2(_) => {
                let scheme = if self.peer.tls.is_some() { "https" } else { "http" };
                let path = request.uri().path_and_query().map_or("/", |it| it.as_str());
                let uri = Uri::builder().scheme(scheme).authority(self.peer.host.as_str());
                *request.uri_mut() = uri
                    .path_and_query(path)
                    .build()
                    .map_err(|why| Fault::Unreachable(why.to_string()))?;
            }
        }
        Ok(request)
    }
}

impl Sender {
    async fn is_ready(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.ready().await.is_ok(),
            Self::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<hyper::Response<Incoming>, hyper::Error> {
        match self {
            Self::Http1(sender) => sender.send_request(request).await,
            Self::Http2(sender) => sender.send_request(request).await,
        }
    }
}

async fn connect(peer: &Peer) -> Result<Connection, Fault> {
    let stream = TcpStream::connect(&peer.authority).await?;
    // A request is one small write: waiting for more to send with it would only delay it.
    stream.set_nodelay(true)?;
    let Some(tls) = &peer.tls else { return handshake(stream, peer.http2).await };
    let mut config = tls.at(Instant::now()).map_err(Fault::Unreachable)?;
    if peer.http2 {
        Arc::make_mut(&mut config).alpn_protocols = vec![b"h2".to_vec()];
    }
    let name = tls.server_name().unwrap_or_else(|| bare_host(&peer.host)).to_owned();
    let name = ServerName::try_from(name)
        .map_err(|why| Fault::Unreachable(format!("invalid name for a certificate: {why}")))?;
    let stream = TlsConnector::from(config).connect(name, stream).await?;
    handshake(stream, peer.http2).await
}

/// Returns the host without port and brackets.
fn bare_host(authority: &str) -> &str {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => authority,
    };
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    http2: bool,
) -> Result<Connection, Fault> {
    let stream = TokioIo::new(stream);
    // A connection's end is seen through the sender, which also has the reason.
    if http2 {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        let driver = Task::spawn(async { drop(connection.await) });
        return Ok(Connection { sender: Sender::Http2(sender), _driver: driver });
    }
    let (sender, connection) = http1::handshake(stream).await?;
    let driver = Task::spawn(async { drop(connection.await) });
    Ok(Connection { sender: Sender::Http1(sender), _driver: driver })
}

async fn read(body: Incoming, bytes_max: usize) -> Result<Bytes, Fault> {
    match Limited::new(body, bytes_max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Fault::TooLarge(bytes_max)),
        Err(error) => Err(Fault::Broken(error.to_string())),
    }
}

fn unwelcome(status: StatusCode, body: &[u8]) -> Fault {
    Fault::Status(status, error_message(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_for_a_host_without_port() {
        let hosts = ["10.0.0.1:8000", "[::1]:8000", "gateway", "gateway.ns.svc:443"];
        assert_eq!(hosts.map(bare_host), ["10.0.0.1", "::1", "gateway", "gateway.ns.svc"]);
    }
}
