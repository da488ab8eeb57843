//! A pod that says of every upload which bytes reached it, and answers chats when it is told to.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc, oneshot},
};

use super::plan::receipt;

/// A pod and the chats that it holds.
pub(super) struct SinkPod {
    pub(super) address: SocketAddr,
    chats: Mutex<mpsc::UnboundedReceiver<oneshot::Sender<()>>>,
}

impl SinkPod {
    /// Starts one.
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, chats) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sender = sender.clone();
                let service = service_fn(move |request| answer(request, sender.clone()));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, chats: Mutex::new(chats) }
    }

    /// Waits for the next chat and returns what answers it.
    pub(super) async fn next_chat(&self) -> oneshot::Sender<()> {
        self.chats.lock().await.recv().await.unwrap()
    }
}

async fn answer(
    request: Request<Incoming>,
    chats: mpsc::UnboundedSender<oneshot::Sender<()>>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let is_chat = request.uri().path().ends_with("/chat/completions");
    let mut body = request.into_body();
    let (mut bytes, mut hash) = (0, Sha256::new());
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            bytes += data.len();
            hash.update(data);
        }
    }
    if !is_chat {
        return Ok(Response::new(receipt(bytes, hash).into()));
    }
    let (answer, answered) = oneshot::channel();
    chats.send(answer).unwrap_or(());
    answered.await.unwrap_or(());
    Ok(Response::new("{}".into()))
}
