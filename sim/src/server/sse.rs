//! A stream of server-sent events, which may break midway.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Bytes, HttpBody};
use hyper::body::Frame;
use tokio::{
    sync::watch,
    time::{Instant, Sleep, sleep},
};

use super::{
    answer::{Answer, DONE},
    desk::News,
    error::Refusal,
    fault::{Fault, Kind},
    gate::Peer,
    shared::Ticket,
};

const KEEP_ALIVE: &str = ": keep-alive\n\n";

/// The body of a streamed answer: a frame per step of the engine.
pub(super) struct Stream {
    answer: Answer,
    /// Ticket of the request; `None` once nothing more is to come.
    ticket: Option<Ticket>,
    include_usage: bool,
    faults: watch::Receiver<Fault>,
    peer: Peer,
    words: usize,
    /// Text of the words so far.
    said: String,
    /// Frame that follows at once.
    next: Option<String>,
    silence: Option<Silence>,
}

/// Watch for silence, after which a comment is sent.
struct Silence {
    longest: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Silence {
    /// Starts a watch; `None` for an interval that is none.
    fn new(seconds: f64) -> Option<Self> {
        let longest = Duration::try_from_secs_f64(seconds).ok().filter(|it| !it.is_zero())?;
        Some(Self { longest, sleep: Box::pin(sleep(longest)) })
    }

    fn begin_again(&mut self) {
        self.sleep.as_mut().reset(Instant::now() + self.longest);
    }
}

impl Stream {
    pub(super) fn new(
        answer: Answer,
        ticket: Ticket,
        include_usage: bool,
        faults: watch::Receiver<Fault>,
        peer: Peer,
    ) -> Self {
        let (ticket, next, said) = (Some(ticket), answer.early(), String::new());
        Self { answer, ticket, include_usage, faults, peer, words: 0, said, next, silence: None }
    }

    /// Has a comment sent after so many seconds of silence, unless they are none.
    pub(super) fn keep_alive(self, seconds: f64) -> Self {
        Self { silence: Silence::new(seconds), ..self }
    }

    fn text(&mut self, news: Option<News>) -> Result<String, io::Error> {
        match news {
            Some(News::Word(word, finish)) => {
                if let Some(broken) = self.broken() {
                    return broken;
                }
                let opening = self.answer.opening().filter(|_| self.words == 0);
                let chunk = self.answer.word(self.words, word, finish, self.include_usage);
                self.words += 1;
                self.said.extend(word);
                let Some(opening) = opening else { return Ok(chunk) };
                // vLLM sends the role with the first token, in a frame of its own.
                self.next = Some(chunk);
                Ok(opening)
            }
            Some(News::End(_, finish, usage)) => {
                if let Some(ticket) = self.ticket.take() {
                    self.answer.keep_in(&mut ticket.kept(), &self.said, finish, usage);
                }
                Ok(self.answer.closing(&self.said, finish, usage, self.include_usage))
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
        if let Some(next) = self.next.take() {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from(next)))));
        }
        let Some(ticket) = &mut self.ticket else { return Poll::Ready(None) };
        let news = ticket.news.poll_recv(context);
        if let Some(silence) = &mut self.silence {
            if news.is_pending() {
                ready!(silence.sleep.as_mut().poll(context));
                silence.begin_again();
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(
                    KEEP_ALIVE.as_bytes(),
                )))));
            }
            silence.begin_again();
        }
        let news = ready!(news);
        let frame = self.text(news).map(|text| Frame::data(Bytes::from(text)));
        Poll::Ready(Some(frame))
    }
}
