//! Model servers with a valve: they answer when it lets them, and write down the times of each
//! request.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime,
    sync::Semaphore,
    time::sleep,
};

use crate::{connection, upstream};

/// Number of bytes read at once; requests here are a few KiB.
const READ: usize = 16 << 10;

/// Name of the header by which a request says how long its answer is to say that it is.
pub(crate) const OUTPUT: &str = "x-output-tokens";

/// The servers, on a thread of their own.
#[derive(Clone, Debug)]
pub(crate) struct Valve {
    /// Addresses of the servers.
    pub(crate) pods: Vec<SocketAddr>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Permits, one for each answer.
    permits: Semaphore,
    /// Time that an answer takes once it may go.
    service: Duration,
    log: Mutex<Log>,
}

/// The times of the requests that were seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// Time at which each request had come in whole.
    pub(crate) came: Vec<Instant>,
    /// Time at which each answer was about to be written.
    pub(crate) went: Vec<Instant>,
    /// Number of requests that were there at once, at most.
    pub(crate) most: usize,
}

impl Valve {
    /// Starts `count` servers with the valve closed; they end with this process.
    pub(crate) fn start(count: usize, service: Duration) -> io::Result<Self> {
        let log = Mutex::default();
        let shared = Arc::new(Shared { permits: Semaphore::new(0), service, log });
        let mut pods = Vec::new();
        let mut listeners = Vec::new();
        for _ in 0..count {
            let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
            listener.set_nonblocking(true)?;
            pods.push(listener.local_addr()?);
            listeners.push(listener);
        }
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let valve = Self { pods, shared: Arc::clone(&shared) };
        thread::spawn(move || {
            runtime.block_on(async {
                for listener in listeners {
                    tokio::spawn(accept(listener, Arc::clone(&shared)));
                }
                std::future::pending::<()>().await;
            });
        });
        Ok(valve)
    }

    /// Lets so many answers out.
    pub(crate) fn release(&self, answers: usize) {
        self.shared.permits.add_permits(answers);
    }

    /// Lets out all that come.
    pub(crate) fn open(&self) {
        self.release(Semaphore::MAX_PERMITS / 2);
    }

    /// Returns what was seen since the last call.
    pub(crate) fn take_log(&self) -> Log {
        std::mem::take(&mut *self.shared.log())
    }

    /// Returns the number of requests that are there now.
    pub(crate) fn held(&self) -> usize {
        let log = self.shared.log();
        log.came.len().saturating_sub(log.went.len())
    }
}

impl Shared {
    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn came(&self) {
        let mut log = self.log();
        log.came.push(Instant::now());
        log.most = log.most.max(log.came.len().saturating_sub(log.went.len()));
    }

    fn went(&self) {
        self.log().went.push(Instant::now());
    }
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve(stream, Arc::clone(&shared)));
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(READ);
    loop {
        buffer.clear();
        let head = read_message(&mut stream, &mut buffer).await?;
        if buffer.get(..head).is_some_and(|head| head.starts_with(b"GET /metrics")) {
            stream.write_all(upstream::metrics().as_bytes()).await?;
            continue;
        }
        shared.came();
        if let Ok(permit) = shared.permits.acquire().await {
            permit.forget();
        }
        if !shared.service.is_zero() {
            sleep(shared.service).await;
        }
        shared.went();
        let tokens = buffer.get(..head).and_then(output_tokens).unwrap_or(1);
        stream.write_all(upstream::answer(tokens).as_bytes()).await?;
    }
}

/// Returns the number of tokens that a request wants its answer to tell.
fn output_tokens(head: &[u8]) -> Option<u32> {
    let head = std::str::from_utf8(head).ok()?;
    let (_, rest) = head.split_once(&format!("{OUTPUT}: "))?;
    rest.lines().next()?.trim().parse().ok()
}

/// Reads a whole message, and returns the place where its head ends.
pub(crate) async fn read_message(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> io::Result<usize> {
    let mut whole = None;
    loop {
        if let Some((head, end)) = whole
            && buffer.len() >= end
        {
            return Ok(head);
        }
        buffer.reserve(READ);
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        whole = whole.or_else(|| {
            let head = connection::end_of_head(buffer, 0)?;
            Some((head, head + connection::content_length(buffer.get(..head)?)))
        });
    }
}
