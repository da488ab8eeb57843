//! A pod in the test's hands: it says who came, and answers when it is told to.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Mutex, mpsc, oneshot},
};

/// Names the client of a request, for the pod only.
pub(super) const WHO: &str = "x-who";

/// A pod and what reaches it.
pub(super) struct PatientPod {
    pub(super) address: SocketAddr,
    arrivals: Mutex<mpsc::UnboundedReceiver<Arrived>>,
}

/// A request that waits for its answer.
pub(super) struct Arrived {
    pub(super) who: String,
    answer: oneshot::Sender<()>,
}

impl PatientPod {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, arrivals) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, sender.clone()));
            }
        });
        Self { address, arrivals: Mutex::new(arrivals) }
    }

    /// The next request. The story's end is the limit.
    pub(super) async fn next(&self) -> Arrived {
        self.arrivals.lock().await.recv().await.unwrap()
    }

    /// The names of the next ones, each answered before the next is waited for.
    pub(super) async fn answer_next(&self, count: usize) -> Vec<String> {
        let mut names = Vec::new();
        for _ in 0..count {
            let Arrived { who, answer } = self.next().await;
            answer.send(()).unwrap_or(());
            names.push(who);
        }
        names
    }

    /// Whether none is there that was not taken yet.
    pub(super) async fn is_idle(&self) -> bool {
        self.arrivals.lock().await.try_recv().is_err()
    }
}

impl Arrived {
    /// Answers it.
    pub(super) fn answer(self) {
        // A client that left does not want it.
        self.answer.send(()).unwrap_or(());
    }
}

async fn serve(mut stream: TcpStream, arrivals: mpsc::UnboundedSender<Arrived>) {
    let mut bytes = Vec::new();
    while !is_whole(&String::from_utf8_lossy(&bytes)) {
        if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
            return;
        }
    }
    let who = header(&String::from_utf8_lossy(&bytes), WHO).unwrap_or_default();
    let (answer, answered) = oneshot::channel();
    // Once the story is over nobody asks any more.
    arrivals.send(Arrived { who, answer }).unwrap_or(());
    if answered.await.is_ok() {
        let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
        stream.write_all(answer.as_bytes()).await.unwrap_or(());
    }
}

fn is_whole(request: &str) -> bool {
    let Some((_, body)) = request.split_once("\r\n\r\n") else { return false };
    header(request, "content-length").is_some_and(|length| length.parse() == Ok(body.len()))
}

fn header(request: &str, name: &str) -> Option<String> {
    let lines = request.lines().take_while(|line| !line.is_empty());
    let mut values = lines.filter_map(|line| line.split_once(": "));
    values.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}
