//! The reader of gateways' replies: verifies each, and hands its counts to be summed.

use std::{sync::Arc, time::Instant};

use hyper::{
    HeaderMap,
    header::{CONTENT_TYPE, HeaderValue},
};
use tokio::sync::watch;
use tracing::{info, warn};
use wire::{
    push::{SIGNATURE_HEADER, Stamp},
    reply::{self, GATEWAY_HEADER, Have, MEDIA_TYPE, Reply},
    report::{self, Report},
};

use crate::{peer::Answer, settings::Secret, tallies::Tallies};

/// The way of gateways' replies into the counts.
#[derive(Clone, Debug)]
pub(crate) struct ReplyTaker {
    /// The secret that signs at the moment, in both directions.
    pub(crate) secret: watch::Receiver<Secret>,
    pub(crate) tallies: Arc<Tallies>,
}

/// The reader of one gateway's replies. The log has each trouble once.
#[derive(Debug)]
pub(super) struct ReplyReader {
    gateway: String,
    taker: ReplyTaker,
    trouble: Option<String>,
}

/// A reply that was taken.
#[derive(Debug)]
pub(super) struct ReadReply {
    pub(super) report: Report,
    /// Name of the reply, if it had counts.
    pub(super) have: Option<Have>,
}

impl ReplyTaker {
    /// Verifies a reply that was signed over this stamp, and takes its counts in.
    ///
    /// # Errors
    /// For a reply of another gateway, secret or version, in words.
    pub(super) fn take(
        &self,
        pool: &Arc<str>,
        stamp: Stamp,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Reply, String> {
        let header = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
        let found = header(GATEWAY_HEADER).unwrap_or_default();
        let gateway = reply::parse_gateway(found).ok_or_else(|| {
            let found = String::from_utf8_lossy(found);
            format!("invalid {GATEWAY_HEADER} {found:?}: must be 16 hexadecimal digits")
        })?;
        let signature = header(SIGNATURE_HEADER).unwrap_or_default();
        if !reply::is_signed(self.secret.borrow().key(), stamp, gateway, signature, body) {
            return Err("the signature of the reply does not match".to_owned());
        }
        let reply = Reply::decode(body).map_err(|why| format!("cannot read the reply: {why}"))?;
        self.tallies.take(pool, gateway, &reply, Instant::now());
        Ok(reply)
    }
}

impl ReplyReader {
    pub(super) fn new(gateway: String, taker: ReplyTaker) -> Self {
        Self { gateway, taker, trouble: None }
    }

    /// Takes in the answer to a push that asked for a reply. `None` for an answer without one.
    pub(super) fn read_answer(
        &mut self,
        pool: &Arc<str>,
        stamp: Stamp,
        answer: &Answer,
    ) -> Option<ReadReply> {
        let kind = answer.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        if kind == Some(report::MEDIA_TYPE.as_bytes()) {
            let report = Report::decode(&answer.body).ok()?;
            self.judge(Some(
                "it replies as an older version does, without counts: its requests are in no metrics",
            ));
            return Some(ReadReply { report, have: None });
        }
        if kind != Some(MEDIA_TYPE.as_bytes()) {
            return None;
        }
        match self.taker.take(pool, stamp, &answer.headers, &answer.body) {
            Ok(Reply { report, counts, .. }) => {
                self.judge(None);
                Some(ReadReply { report, have: Some(counts.have) })
            }
            Err(why) => {
                self.judge(Some(&why));
                None
            }
        }
    }

    fn judge(&mut self, trouble: Option<&str>) {
        let before = std::mem::replace(&mut self.trouble, trouble.map(str::to_owned));
        match trouble {
            Some(why) if before.as_deref() != Some(why) => {
                warn!("failed to count requests of {}: {why}", self.gateway);
            }
            None if before.is_some() => info!("counts requests of {} again", self.gateway),
            Some(_) | None => (),
        }
    }
}
