//! The client of an upload, which sends a frame when it is told to.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    convert::Infallible,
    fmt,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{
    HeaderMap, Request, Response,
    body::{Body, Frame, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, sync::mpsc, task::JoinHandle, time::timeout};

use super::plan::{Plan, Protocol};

/// Time after which a frame that is not taken is held back by Envoy.
const STUCK: Duration = Duration::from_millis(150);

/// Time after which an upload hangs.
const HANGS: Duration = Duration::from_secs(8);

/// What became of an upload.
pub(super) enum Outcome {
    /// The pod got the body as it was sent.
    Same,
    /// The pod got another: its receipt.
    Other(String),
    /// The gateway answered.
    Refused(u16, String),
    /// No answer came, or half of one.
    Broken(String),
}

/// An upload under way.
pub(super) struct Upload {
    frames: Option<mpsc::Sender<Frame<Bytes>>>,
    answer: JoinHandle<Result<(u16, String), String>>,
}

/// A body of frames as they come.
struct Frames(mpsc::Receiver<Frame<Bytes>>);

impl Outcome {
    /// Returns a word for the table.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Other(_) => "other bytes",
            Self::Refused(..) => "refused",
            Self::Broken(_) => "broken",
        }
    }
}

impl Upload {
    /// Sends the head.
    pub(super) async fn begin(gateway: SocketAddr, plan: &Plan) -> Self {
        let (sender, frames) = mpsc::channel(1);
        let uri = format!("http://gateway{}", plan.path);
        let mut request = Request::post(uri).header("content-type", "application/octet-stream");
        if plan.protocol == Protocol::Length {
            request = request.header("content-length", plan.body.len());
        }
        let request = request.body(Frames(frames)).unwrap();
        let stream = TokioIo::new(TcpStream::connect(gateway).await.unwrap());
        let answer = match plan.protocol {
            Protocol::Length | Protocol::Chunked => {
                let (mut client, connection) = http1::handshake(stream).await.unwrap();
                tokio::spawn(connection);
                tokio::spawn(async move { read(client.send_request(request).await).await })
            }
            Protocol::Http2 | Protocol::Http2Trailers => {
                let (mut client, connection) =
                    http2::handshake(TokioExecutor::new(), stream).await.unwrap();
                tokio::spawn(connection);
                tokio::spawn(async move { read(client.send_request(request).await).await })
            }
        };
        Self { frames: Some(sender), answer }
    }

    /// True if Envoy takes more, or the upload is over.
    pub(super) async fn has_room(&self) -> bool {
        let Some(frames) = &self.frames else { return true };
        timeout(STUCK, frames.reserve()).await.is_ok()
    }

    /// Sends a frame. False if the upload is over.
    pub(super) async fn send(&self, frame: Bytes) -> bool {
        let Some(frames) = &self.frames else { return false };
        frames.send(Frame::data(frame)).await.is_ok()
    }

    /// Ends the body.
    pub(super) async fn end(&mut self, plan: &Plan) {
        let Some(frames) = self.frames.take() else { return };
        if plan.protocol == Protocol::Http2Trailers {
            let trailers = HeaderMap::from_iter([("x-end".parse().unwrap(), "1".parse().unwrap())]);
            // Left behind the last frame if that is not taken yet.
            tokio::spawn(async move { frames.send(Frame::trailers(trailers)).await });
        }
    }

    /// Waits for the answer.
    pub(super) async fn outcome(mut self, plan: &Plan) -> Outcome {
        match timeout(HANGS, &mut self.answer).await {
            Err(_) => {
                // Its connection ends with it, so that the next upload finds the place free.
                self.answer.abort();
                Outcome::Broken("hangs".to_owned())
            }
            Ok(Err(error)) => Outcome::Broken(error.to_string()),
            Ok(Ok(Err(error))) => Outcome::Broken(error),
            Ok(Ok(Ok((200, receipt)))) if receipt == plan.receipt() => Outcome::Same,
            Ok(Ok(Ok((200, receipt)))) => Outcome::Other(receipt),
            Ok(Ok(Ok((status, why)))) => Outcome::Refused(status, why),
        }
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|frame| frame.map(Ok))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => f.write_str("the same bytes"),
            Self::Other(receipt) => write!(f, "the pod got {receipt}"),
            Self::Refused(status, why) => write!(f, "answered {status}: {why}"),
            Self::Broken(why) => write!(f, "no answer: {why}"),
        }
    }
}

async fn read(answer: hyper::Result<Response<Incoming>>) -> Result<(u16, String), String> {
    let (head, body) = answer.map_err(|error| error.to_string())?.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    Ok((head.status.as_u16(), String::from_utf8_lossy(&body).into_owned()))
}
