//! A stream of server-sent events, which may break midway.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::{Bytes, HttpBody};
use hyper::body::Frame;
use tokio::sync::watch;

use super::{
    answer::Answer,
    desk::News,
    error::Refusal,
    fault::{Fault, Kind},
    gate::Peer,
    shared::Ticket,
};

const DONE: &str = "data: [DONE]\n\n";

/// The body of a streamed answer: a frame per step of the engine.
pub(super) struct Stream {
    answer: Answer,
    /// Ticket of the request; `None` once nothing more is to come.
    ticket: Option<Ticket>,
    include_usage: bool,
    faults: watch::Receiver<Fault>,
    peer: Peer,
    words: usize,
}

impl Stream {
    pub(super) fn new(
        answer: Answer,
        ticket: Ticket,
        include_usage: bool,
        faults: watch::Receiver<Fault>,
        peer: Peer,
    ) -> Self {
        Self { answer, ticket: Some(ticket), include_usage, faults, peer, words: 0 }
    }

    fn text(&mut self, news: Option<News>) -> Result<String, io::Error> {
        match news {
            Some(News::Word(word, finish)) => {
                let mut text = String::new();
                if self.words == 0 {
                    text.extend(self.answer.opening());
                }
                if let Some(broken) = self.broken() {
                    return broken;
                }
                self.words += 1;
                text.push_str(&self.answer.chunk(word, finish, self.include_usage));
                Ok(text)
            }
            Some(News::End(_, _, usage)) => {
                self.ticket = None;
                let mut text = String::new();
                if self.include_usage {
                    text.push_str(&self.answer.usage_chunk(usage));
                }
                text.push_str(DONE);
                Ok(text)
            }
            None => {
                self.ticket = None;
                self.peer.reset_at_end();
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
    }

    /// Returns what is sent instead of the next word, if streams break after as many as were sent.
    fn broken(&mut self) -> Option<io::Result<String>> {
        let fault = *self.faults.borrow();
        if fault.breaks_after().is_none_or(|after| self.words < after) {
            return None;
        }
        self.ticket = None;
        if fault.kind == Kind::StreamReset {
            self.peer.reset_at_end();
            return Some(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Some(Ok(format!("data: {}\n\n{DONE}", Refusal::Dead.body())))
    }
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let Some(ticket) = &mut self.ticket else { return Poll::Ready(None) };
        let news = ready!(ticket.news.poll_recv(context));
        let frame = self.text(news).map(|text| Frame::data(Bytes::from(text)));
        Poll::Ready(Some(frame))
    }
}
