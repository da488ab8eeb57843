//! A kept-alive HTTP connection to one peer, opened when needed: HTTP/1.1 or HTTP/2, with or
//! without TLS.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Request, Uri,
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

use super::{
    body::{BodyFault, read_head, read_whole},
    fault::Fault,
    message::error_message,
    tls::TlsClient,
};
use crate::task::Task;

/// Bytes of an error that are read: its message and what stands around it.
const ERROR_BYTES_MAX: usize = 4 << 10;

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
        if head.status.is_success() {
            let body = read_whole(body, self.answer_bytes_max).await;
            let body = body.map_err(|why| match why {
                BodyFault::TooLarge => Fault::TooLarge(self.answer_bytes_max),
                BodyFault::Broken(why) => Fault::Broken(why.to_string()),
            })?;
            self.connection = Some(connection);
            return Ok(Answer { headers: head.headers, body });
        }
        let error = read_head(body, ERROR_BYTES_MAX).await;
        let error = error.map_err(|why| Fault::Broken(why.to_string()))?;
        // Of a longer one the rest is still on its way.
        self.connection = Some(connection).filter(|_| error.is_whole);
        Err(Fault::Status(head.status, error_message(&error.bytes)))
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

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    #[tokio::test]
    async fn of_an_error_no_more_is_read_than_its_message() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let _pod = Task::spawn(async move {
            // The second answer is on a second connection: the first one has the rest of the error in it.
            for (status, sent) in [(500, 5 << 10), (200, 8 << 10)] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 1024]).await;
                let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", 8 << 10);
                stream.write_all(head.as_bytes()).await.unwrap();
                stream.write_all(&vec![b'['; sent]).await.unwrap();
                tokio::spawn(async move {
                    let _ = stream.read(&mut [0]).await;
                });
            }
        });
        let peer = Peer { host: authority.clone(), authority, tls: None, http2: false };
        let mut client = Client::new(peer, Duration::from_secs(5), 8 << 20).unwrap();
        let fault = client.ask(Request::new(Full::default())).await.unwrap_err();
        assert!(matches!(fault, Fault::Status(..)), "{fault}");
        let answer = client.ask(Request::new(Full::default())).await.unwrap();
        assert_eq!(answer.body.len(), 8 << 10);
    }

    #[test]
    fn a_certificate_is_for_a_host_without_port() {
        let hosts = ["10.0.0.1:8000", "[::1]:8000", "gateway", "gateway.ns.svc:443"];
        assert_eq!(hosts.map(bare_host), ["10.0.0.1", "::1", "gateway", "gateway.ns.svc"]);
    }
}
