//! An endpoint picker that names the same pod for every request, and counts what it is asked: the EPP of an InferencePool.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod answers;
mod protobuf;

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Request, Response,
    body::{Body, Frame, Incoming},
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpListener, sync::mpsc};

use answers::Answers;

/// Messages of one stream that may wait to be sent: Envoy reads them as fast as they come.
const ANSWERS_MAX: usize = 64;

/// Bytes of a message's head in gRPC: whether it is compressed, and its length.
const HEAD: usize = 5;

/// An EPP at work, which ends with the test's runtime.
#[derive(Clone, Debug)]
pub(super) struct Epp {
    pub(super) address: SocketAddr,
    asked: Arc<AtomicU64>,
}

impl Epp {
    /// Starts one that names this pod.
    pub(super) async fn start(pod: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let count = Arc::clone(&count);
                let service = service_fn(move |request| {
                    count.fetch_add(1, Ordering::Relaxed);
                    std::future::ready(Ok::<_, Infallible>(process(pod, request)))
                });
                let server = http2::Builder::new(TokioExecutor::new());
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, asked }
    }

    /// Returns the number of requests that it was asked for.
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

/// Answers one stream: one request through Envoy.
fn process(
    pod: SocketAddr,
    request: Request<Incoming>,
) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let (frames, sent) = mpsc::channel(ANSWERS_MAX);
    tokio::spawn(async move {
        let answers = Answers::new(pod);
        let mut body = request.into_body();
        let mut read = BytesMut::new();
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { continue };
            read.extend_from_slice(&data);
            while let Some(message) = next_message(&mut read) {
                if let Some(answer) = answers.to(&message)
                    && frames.send(Frame::data(framed(&answer))).await.is_err()
                {
                    return;
                }
            }
        }
        let status = (HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
        // Envoy may be gone.
        let _ = frames.send(Frame::trailers(HeaderMap::from_iter([status]))).await;
    });
    let mut response = Response::new(Frames(sent).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// A body of the frames that another task sends.
struct Frames(mpsc::Receiver<Frame<Bytes>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|frame| frame.map(Ok))
    }
}

/// Takes the next message off what was read, if it is there as a whole.
fn next_message(read: &mut BytesMut) -> Option<Bytes> {
    let length = u32::from_be_bytes(read.get(1..HEAD)?.try_into().unwrap()) as usize;
    if read.len() < HEAD + length {
        return None;
    }
    read.advance(HEAD);
    Some(read.split_to(length).freeze())
}

fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap();
    let mut framed = vec![0];
    framed.extend(length.to_be_bytes());
    framed.extend_from_slice(message);
    framed.into()
}
