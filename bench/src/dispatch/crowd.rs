//! Thousands of clients with one request each.

use std::{io, net::SocketAddr, thread};

use anyhow::{Result, anyhow};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, runtime, task::JoinSet};

use crate::{
    body::Text,
    connection,
    load::{Kind, next_number},
    valve,
};

/// Number of connections that are opened at once: a listener's backlog takes this many.
const AT_ONCE: usize = 64;

/// Clients on a thread of their own.
#[derive(Debug)]
pub(super) struct Crowd(thread::JoinHandle<Result<usize>>);

impl Crowd {
    /// Sends `count` requests to `target`, each over a connection of its own.
    pub(super) fn send(target: SocketAddr, count: usize) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self(thread::spawn(move || runtime.block_on(ask(target, count)))))
    }

    /// Returns how many requests were answered with 200. Blocks until all are answered.
    pub(super) fn answered(self) -> Result<usize> {
        self.0.join().map_err(|_| anyhow!("the crowd panicked"))?
    }
}

async fn ask(target: SocketAddr, count: usize) -> Result<usize> {
    let mut clients = JoinSet::new();
    let mut opening = JoinSet::new();
    for _ in 0..count {
        if opening.len() >= AT_ONCE
            && let Some(stream) = opening.join_next().await
        {
            clients.spawn(client(stream??));
        }
        opening.spawn(TcpStream::connect(target));
    }
    while let Some(stream) = opening.join_next().await {
        clients.spawn(client(stream??));
    }
    let mut answered = 0;
    while let Some(status) = clients.join_next().await {
        answered += usize::from(status?? == 200);
    }
    Ok(answered)
}

async fn client(mut stream: TcpStream) -> Result<u16> {
    let mut request = Kind::Chat { bytes: 1 << 10, text: Text::Escaped }.request(0);
    stream.write_all(request.numbered(next_number())).await?;
    let mut buffer = Vec::new();
    valve::read_message(&mut stream, &mut buffer).await?;
    connection::status(&buffer).ok_or_else(|| anyhow!("a response without a status"))
}
