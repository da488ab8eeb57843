//! The listener that can refuse, and connections that can be reset.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};

use super::fault::{Fault, Kind};

/// Time between two tries to bind again, or to accept when the process is out of descriptors.
const RETRY: Duration = Duration::from_millis(20);

/// A listener that accepts connections unless the present fault is to refuse them.
pub(super) struct Gate {
    listener: Option<TcpListener>,
    addr: SocketAddr,
    faults: watch::Receiver<Fault>,
    resets: watch::Receiver<u64>,
}

/// A client's connection, for handlers that want to reset it.
#[derive(Clone, Debug)]
pub(super) struct Peer(Arc<AtomicBool>);

/// A connection that ends with a reset when the gate closes or its [`Peer`] asks.
pub(super) struct Connection {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
    closing: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Gate {
    /// Returns a gate that every new value of `resets` empties of its connections.
    pub(super) fn new(
        listener: TcpListener,
        faults: watch::Receiver<Fault>,
        resets: watch::Receiver<u64>,
    ) -> Self {
        let addr = listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)));
        Self { listener: Some(listener), addr, faults, resets }
    }

    fn connection(&self, stream: TcpStream) -> Connection {
        let mut resets = self.resets.clone();
        resets.mark_unchanged();
        let closing = Box::pin(async move {
            // An error means that the server is going away: then too the connection ends.
            let _ = resets.changed().await;
        });
        // Answers are small: waiting to fill a packet would only add to the latency.
        let _ = stream.set_nodelay(true);
        Connection { stream, reset: Arc::default(), closing }
    }
}

impl Listener for Gate {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let refusing = self.faults.borrow().kind == Kind::Refuse;
            if refusing {
                self.listener = None;
                let healed = self.faults.wait_for(|fault| fault.kind != Kind::Refuse).await.is_ok();
                if !healed {
                    // The server is going away: no client is let in any more.
                    std::future::pending::<()>().await;
                }
            }
            let Some(listener) = &self.listener else {
                self.listener = TcpListener::bind(self.addr).await.ok();
                if self.listener.is_none() {
                    sleep(RETRY).await;
                }
                continue;
            };
            let mut faults = self.faults.clone();
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, addr)) => return (self.connection(stream), addr),
                    Err(_) => sleep(RETRY).await,
                },
                () = async { drop(faults.wait_for(|fault| fault.kind == Kind::Refuse).await) } => {}
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }
}

impl Connected<IncomingStream<'_, Gate>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Gate>) -> Self {
        Self(Arc::clone(&stream.io().reset))
    }
}

impl Peer {
    /// Makes the end of this connection a reset, whenever it comes.
    pub(super) fn reset_at_end(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Connection {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.reset.load(Ordering::Relaxed) {
            return Ok(());
        }
        if self.closing.as_mut().poll(context).is_ready() {
            self.reset.store(true, Ordering::Relaxed);
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            // Failing means an ordinary close: nothing better can be done.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
