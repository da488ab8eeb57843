//! One kept-alive HTTP/1.1 connection to one peer, opened when needed.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Request, StatusCode,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time};

use crate::{codec, fault::Fault, task::Task};

/// Where a peer is.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// `HOST:PORT` to connect to; a name is looked up for each new connection.
    pub(crate) authority: String,
    /// `HOST[:PORT]` as requests name it.
    pub(crate) host: String,
}

/// A 2xx answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Asks one peer, one request at a time.
#[derive(Debug)]
pub(crate) struct Client {
    authority: String,
    host: HeaderValue,
    /// For a whole exchange, connecting included.
    timeout: Duration,
    /// The longest answer that is read.
    answer_bytes_max: usize,
    /// Taken out during an exchange: only one that ended well puts it back.
    line: Option<Line>,
}

#[derive(Debug)]
struct Line {
    sender: SendRequest<Full<Bytes>>,
    /// Drives the connection.
    _driver: Task,
}

impl Client {
    /// # Errors
    /// If the host can't stand in a header.
    pub(crate) fn new(
        Peer { authority, host }: Peer,
        timeout: Duration,
        answer_bytes_max: usize,
    ) -> Result<Self, Fault> {
        let host = HeaderValue::try_from(&host)
            .map_err(|_| Fault::Unreachable(format!("{host:?} is no host")))?;
        Ok(Self { authority, host, timeout, answer_bytes_max, line: None })
    }

    /// Sends `request` and returns a 2xx answer.
    pub(crate) async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Fault> {
        match time::timeout(self.timeout, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(Fault::TimedOut(self.timeout)),
        }
    }

    async fn exchange(&mut self, mut request: Request<Full<Bytes>>) -> Result<Answer, Fault> {
        request.headers_mut().insert(HOST, self.host.clone());
        let mut line = match self.line.take() {
            Some(line) => line,
            None => connect(&self.authority).await?,
        };
        if line.sender.ready().await.is_err() {
            // The peer has closed it since the last answer, as it may.
            line = connect(&self.authority).await?;
        }
        let (head, body) = line.sender.send_request(request).await?.into_parts();
        let body = read(body, self.answer_bytes_max).await?;
        self.line = Some(line);
        if head.status.is_success() {
            Ok(Answer { headers: head.headers, body })
        } else {
            Err(unwelcome(head.status, &body))
        }
    }
}

async fn connect(authority: &str) -> Result<Line, Fault> {
    let stream = TcpStream::connect(authority).await?;
    // A request is one small write: waiting for more to send with it would only delay it.
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Its end is seen through the sender, where the reason is told too.
    let driver = Task::spawn(async { drop(connection.await) });
    Ok(Line { sender, _driver: driver })
}

async fn read(body: Incoming, bytes_max: usize) -> Result<Bytes, Fault> {
    match Limited::new(body, bytes_max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Fault::TooLarge(bytes_max)),
        Err(error) => Err(Fault::Broken(error.to_string())),
    }
}

fn unwelcome(status: StatusCode, body: &[u8]) -> Fault {
    Fault::Status(status, codec::error_message(body))
}
