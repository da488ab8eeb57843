//! The fields of a message in the order in which they are sent. To change one is a new version.

use std::time::Duration;

use picker_core::{
    Instant, RequestId,
    flow::{FairnessId, FlowKey, Outcome, Priority, Rejection, Ticket, TicketId},
    ledger::WorkerId,
    workers::{Message, QueueId, WorkerPeer},
};
use serde::{Deserialize, Serialize};

use crate::frame::{FrameError, bound};

/// Layout of a [`Message`].
#[derive(Serialize, Deserialize)]
pub(super) enum Line<'a> {
    Submit {
        worker: u64,
        reply_to: u32,
        epoch: u64,
        again: bool,
        #[serde(borrow)]
        tickets: Vec<Held<'a>>,
    },
    Cancel {
        worker: u64,
        request: u32,
    },
    Wake,
    Charge {
        #[serde(borrow)]
        flow: Flow<'a>,
        tokens: u32,
        expected: u32,
    },
    Correct {
        #[serde(borrow)]
        flow: Flow<'a>,
        charged: u32,
        found: u32,
    },
    Grant {
        requests: Vec<u32>,
        epoch: u64,
        at: u64,
    },
    Reject {
        request: u32,
        #[serde(with = "Ending")]
        outcome: Outcome,
        epoch: u64,
        expected_wait: Duration,
    },
    Evict {
        below: i32,
        reply_to: u32,
    },
    Evicted,
}

/// Layout of a [`Ticket`].
#[derive(Serialize, Deserialize)]
pub(super) struct Held<'a> {
    worker: u64,
    request: u32,
    #[serde(borrow)]
    flow: Flow<'a>,
    bytes: u64,
    prompt_tokens: u32,
    uncached_tokens: u32,
    output_tokens: u32,
    arrived: u64,
    ttl: Option<Duration>,
    slo_ttft: Option<Duration>,
}

/// Layout of a [`FlowKey`].
#[derive(Serialize, Deserialize)]
pub(super) struct Flow<'a> {
    tenant: &'a str,
    priority: i32,
}

/// Layout of an [`Outcome`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Outcome")]
enum Ending {
    Dispatched,
    RejectedCapacity,
    RejectedNoEndpoints,
    RejectedShuttingDown,
    RejectedInternal,
    EvictedTtl,
    EvictedNoEndpoints,
    EvictedContextCancelled,
    EvictedDisplaced,
}

impl<'a> Line<'a> {
    pub(super) fn from_message(message: &'a Message) -> Result<Self, FrameError> {
        Ok(match message {
            Message::Submit { worker, reply_to, epoch, again, tickets } => {
                check(tickets)?;
                let tickets = tickets.iter().map(Held::from_ticket).collect();
                let (worker, reply_to) = (worker.0, reply_to.0);
                Self::Submit { worker, reply_to, epoch: *epoch, again: *again, tickets }
            }
            Message::Cancel { worker, request } => {
                Self::Cancel { worker: worker.0, request: request.0 }
            }
            Message::Wake => Self::Wake,
            Message::Charge { flow, tokens, expected } => {
                Self::Charge { flow: Flow::from_key(flow), tokens: *tokens, expected: *expected }
            }
            Message::Correct { flow, charged, found } => {
                Self::Correct { flow: Flow::from_key(flow), charged: *charged, found: *found }
            }
            Message::Grant { requests, epoch, at } => {
                check_grants(requests)?;
                let requests = requests.iter().map(|request| request.0).collect();
                Self::Grant { requests, epoch: *epoch, at: at.as_nanos() }
            }
            Message::Reject { request, rejection, epoch } => Self::Reject {
                request: request.0,
                outcome: rejection.outcome,
                epoch: *epoch,
                expected_wait: rejection.expected_wait,
            },
            Message::Evict { below, reply_to } => {
                Self::Evict { below: below.0, reply_to: reply_to.0 }
            }
            Message::Evicted => Self::Evicted,
        })
    }
}

impl TryFrom<Line<'_>> for Message {
    type Error = FrameError;

    fn try_from(line: Line<'_>) -> Result<Self, FrameError> {
        Ok(match line {
            Line::Submit { worker, reply_to, epoch, again, tickets } => {
                check(&tickets)?;
                let tickets = tickets.iter().map(Held::ticket).collect::<Result<_, _>>()?;
                let (worker, reply_to) = (WorkerId(worker), QueueId(reply_to));
                Self::Submit { worker, reply_to, epoch, again, tickets }
            }
            Line::Cancel { worker, request } => {
                Self::Cancel { worker: WorkerId(worker), request: RequestId(request) }
            }
            Line::Wake => Self::Wake,
            Line::Charge { flow, tokens, expected } => {
                Self::Charge { flow: flow.key()?, tokens, expected }
            }
            Line::Correct { flow, charged, found } => {
                Self::Correct { flow: flow.key()?, charged, found }
            }
            Line::Grant { requests, epoch, at } => {
                check_grants(&requests)?;
                let requests = requests.into_iter().map(RequestId).collect();
                Self::Grant { requests, epoch, at: Instant::from_nanos(at) }
            }
            Line::Reject { request, outcome, epoch, expected_wait } => {
                let rejection = Rejection { outcome, expected_wait };
                Self::Reject { request: RequestId(request), rejection, epoch }
            }
            Line::Evict { below, reply_to } => {
                Self::Evict { below: Priority(below), reply_to: QueueId(reply_to) }
            }
            Line::Evicted => Self::Evicted,
        })
    }
}

fn check<T>(tickets: &[T]) -> Result<(), FrameError> {
    bound(tickets.len() <= WorkerPeer::TICKETS_MAX, "tickets", "64")
}

fn check_grants<T>(requests: &[T]) -> Result<(), FrameError> {
    let within = u32::try_from(requests.len()).is_ok_and(|count| count <= WorkerPeer::GRANTS_MAX);
    bound(within, "grants", "64")
}

impl<'a> Held<'a> {
    fn from_ticket(ticket: &'a Ticket) -> Self {
        let Ticket {
            id,
            flow,
            bytes,
            prompt_tokens,
            uncached_tokens,
            output_tokens,
            arrived,
            ttl,
            slo_ttft,
        } = ticket;
        Self {
            worker: id.worker,
            request: id.request,
            flow: Flow::from_key(flow),
            bytes: *bytes,
            prompt_tokens: *prompt_tokens,
            uncached_tokens: *uncached_tokens,
            output_tokens: *output_tokens,
            arrived: arrived.as_nanos(),
            ttl: *ttl,
            slo_ttft: *slo_ttft,
        }
    }

    fn ticket(&self) -> Result<Ticket, FrameError> {
        Ok(Ticket {
            id: TicketId { worker: self.worker, request: self.request },
            flow: self.flow.key()?,
            bytes: self.bytes,
            prompt_tokens: self.prompt_tokens,
            uncached_tokens: self.uncached_tokens,
            output_tokens: self.output_tokens,
            arrived: Instant::from_nanos(self.arrived),
            ttl: self.ttl,
            slo_ttft: self.slo_ttft,
        })
    }
}

impl<'a> Flow<'a> {
    fn from_key(key: &'a FlowKey) -> Self {
        Self { tenant: key.id.as_str(), priority: key.priority.0 }
    }

    fn key(&self) -> Result<FlowKey, FrameError> {
        let id = FairnessId::new(self.tenant);
        bound(id.as_str() == self.tenant, "a tenant's name", "256 bytes")?;
        Ok(FlowKey { id, priority: Priority(self.priority) })
    }
}
