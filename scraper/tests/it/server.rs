//! A server that misbehaves by a script: just enough HTTP/1.1 to stand in for a pod or an Envoy.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream},
    net::TcpListener,
    sync::Notify,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

/// A request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// Method and target, as in `GET /metrics`.
    pub(crate) line: String,
    /// Headers, with names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(other, _)| other == name)?;
        Some(value)
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A whole answer.
    Whole(u16, Vec<u8>),
    /// 200 with this body, and the announced end of the connection.
    Last(Vec<u8>),
    /// 200 with half of this body, and the end of the connection.
    Half(Vec<u8>),
    /// 204, once notified.
    Held(Arc<Notify>),
    /// 204 from a gateway that holds this many requests.
    Waiting(u32),
    /// No answer, over a connection that stays open.
    Never,
}

type Script = Arc<Mutex<Box<dyn FnMut(Asked) -> Reply + Send>>>;

/// A server, which ends with all its connections when dropped, so that its port is free again.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens on `address`; port 0 lets the system choose.
    pub(crate) async fn start(
        address: SocketAddr,
        script: impl FnMut(Asked) -> Reply + Send + 'static,
    ) -> Self {
        Self::start_with(address, None, script).await
    }

    /// Listens on `address`, with TLS if there is an acceptor.
    pub(crate) async fn start_with(
        address: SocketAddr,
        tls: Option<TlsAcceptor>,
        script: impl FnMut(Asked) -> Reply + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let script: Script = Arc::new(Mutex::new(Box::new(script)));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let script = Arc::clone(&script);
                match tls.clone() {
                    None => drop(connections.spawn(serve(stream, script))),
                    Some(tls) => drop(connections.spawn(async move {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, script).await;
                        }
                    })),
                }
            }
        });
        Self { address, task }
    }

    /// Ends the server and waits until its port is free.
    pub(crate) async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers one request after another until the peer is gone.
async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, script: Script) {
    let mut stream = BufStream::new(stream);
    while let Some(asked) = read(&mut stream).await {
        let reply = (script.lock().unwrap())(asked);
        let (status, body, sent): (_, &[u8], _) = match &reply {
            Reply::Whole(status, body) => (*status, body, body.len()),
            Reply::Last(body) => (200, body, body.len()),
            Reply::Half(body) => (200, body, body.len() / 2),
            Reply::Held(answer) => {
                answer.notified().await;
                (204, &[], 0)
            }
            Reply::Waiting(_) => (204, &[], 0),
            Reply::Never => std::future::pending().await,
        };
        let last = matches!(reply, Reply::Last(_) | Reply::Half(_));
        let connection = if matches!(reply, Reply::Last(_)) { "close" } else { "keep-alive" };
        let length = body.len();
        let mut waiting = String::new();
        if let Reply::Waiting(count) = reply {
            waiting = format!("x-llm-picker-waiting: {count}\r\n");
        }
        let head = format!(
            "HTTP/1.1 {status} X\r\nconnection: {connection}\r\n{waiting}content-length: {length}\r\n\r\n"
        );
        let answer = [head.as_bytes(), &body[..sent]].concat();
        if stream.write_all(&answer).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        if last {
            return;
        }
    }
}

async fn read(stream: &mut BufStream<impl AsyncRead + AsyncWrite + Unpin>) -> Option<Asked> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut lines = lines.into_iter();
    let line = lines.next()?.strip_suffix(" HTTP/1.1")?.to_owned();
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_lowercase(), value.to_owned()))
    });
    let mut asked = Asked { line, headers: headers.collect(), body: Vec::new() };
    let length = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
    asked.body.resize(length, 0);
    stream.read_exact(&mut asked.body).await.ok()?;
    Some(asked)
}
