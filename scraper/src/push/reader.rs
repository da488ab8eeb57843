//! The reader of gateways' replies: verifies each, hands its counts to be summed, and its report to the
//! exchange.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::{
    HeaderMap,
    header::{CONTENT_TYPE, HeaderValue},
};
use picker_core::exchange::GatewayId;
use tokio::sync::watch;
use tracing::{info, warn};
use wire::{
    exchange,
    push::{SIGNATURE_HEADER, Stamp},
    reply::{self, GATEWAY_HEADER, Have, MEDIA_TYPE, Reply},
    report::{self, Report},
};

use super::signed_snapshot::SignedSnapshot;
use crate::{
    exchange::{Exchanges, SealedPart},
    peer::{Answer, one_line},
    settings::Secret,
    tallies::Tallies,
};

/// The way of gateways' replies into counts and exchange, and of the exchange's parts to gateways.
#[derive(Clone, Debug)]
pub(crate) struct ReplyTaker {
    /// The secret that signs at the moment, in both directions.
    pub(crate) secret: watch::Receiver<Secret>,
    pub(crate) tallies: Arc<Tallies>,
    pub(crate) exchanges: Arc<Exchanges>,
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
    /// Report, if it was asked for.
    pub(super) report: Option<Report>,
    /// Name of the reply, if it had counts.
    pub(super) have: Option<Have>,
    /// The gateway, if it takes part in the exchange.
    pub(super) member: Option<GatewayId>,
}

impl ReplyTaker {
    /// Returns the gateway that a reply says it is of.
    ///
    /// # Errors
    /// For a header that names none, in words.
    pub(super) fn claimed(&self, headers: &HeaderMap) -> Result<GatewayId, String> {
        let found = headers.get(GATEWAY_HEADER).map(HeaderValue::as_bytes).unwrap_or_default();
        let gateway = reply::parse_gateway(found).ok_or_else(|| {
            let found = one_line(&String::from_utf8_lossy(found));
            format!("invalid {GATEWAY_HEADER} {found:?}: must be 16 hexadecimal digits")
        })?;
        Ok(GatewayId(gateway))
    }

    /// Checks that a reply was signed by this gateway over this stamp.
    ///
    /// # Errors
    /// For a reply of another gateway, stamp or secret, in words.
    pub(super) fn verify(
        &self,
        gateway: GatewayId,
        stamp: Stamp,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(), String> {
        let signature =
            headers.get(SIGNATURE_HEADER).map(HeaderValue::as_bytes).unwrap_or_default();
        if reply::is_signed(self.secret.borrow().key(), stamp, gateway.0, signature, body) {
            return Ok(());
        }
        Err("the signature of the reply does not match".to_owned())
    }

    /// Takes in the counts of a reply, and its report for the exchange. The reply was verified, and is no repeated
    /// one.
    ///
    /// # Errors
    /// For a reply of another version, in words.
    pub(super) fn take_verified(
        &self,
        pool: &Arc<str>,
        id: GatewayId,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<ReadReply, String> {
        let now = Instant::now();
        self.exchanges.hear(pool, id, now);
        let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        if kind == Some(exchange::MEDIA_TYPE.as_bytes()) {
            let member = self.exchanges.take(pool, id, body, now).then_some(id);
            return Ok(ReadReply { report: None, have: None, member });
        }
        let reply = Reply::decode(body).map_err(|why| format!("cannot read the reply: {why}"))?;
        self.tallies.take(pool, id.0, &reply, now);
        let Reply { report, counts, exchange, .. } = reply;
        let is_taken = exchange.is_some_and(|bytes| self.exchanges.take(pool, id, &bytes, now));
        let member = is_taken.then_some(id);
        Ok(ReadReply { report: Some(report), have: Some(counts.have), member })
    }

    /// True if gateways of the pool are to be asked for reports to each other.
    pub(super) fn wants_exchange(&self, pool: &str) -> bool {
        self.exchanges.is_wanted(pool, Instant::now())
    }

    /// Returns the time after each round at which a gateway is told of it.
    pub(super) fn turn(&self, gateway: GatewayId) -> Duration {
        self.exchanges.turn(gateway, Instant::now())
    }

    /// Returns what the exchange has for a gateway, beside a snapshot that has room for it.
    pub(super) fn part(&self, signed: &SignedSnapshot, gateway: GatewayId) -> Option<SealedPart> {
        let secret = self.secret.borrow();
        let SignedSnapshot { pool, stamp, .. } = signed;
        signed.has_room().then(|| self.exchanges.part(pool, gateway, *stamp, &secret)).flatten()
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
            self.judge(Some(
                "it replies as an older version does, without a signature: its requests are in no metrics",
            ));
            return None;
        }
        let known = [MEDIA_TYPE, exchange::MEDIA_TYPE];
        if !known.iter().any(|known| kind == Some(known.as_bytes())) {
            return None;
        }
        match self.take(pool, stamp, answer) {
            Ok(reply) => {
                self.judge(None);
                Some(reply)
            }
            Err(why) => {
                self.judge(Some(&why));
                None
            }
        }
    }

    fn take(&self, pool: &Arc<str>, stamp: Stamp, answer: &Answer) -> Result<ReadReply, String> {
        let gateway = self.taker.claimed(&answer.headers)?;
        self.taker.verify(gateway, stamp, &answer.headers, &answer.body)?;
        self.taker.take_verified(pool, gateway, &answer.headers, &answer.body)
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
