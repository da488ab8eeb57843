//! The reply on a pool as this gateway knows it, for the scraper that brought a snapshot of it or is
//! asked for one.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use picker_core::{
    Amounts, Instant, Measure,
    exchange::GatewayId,
    flow::FlowSize,
    ledger::{EndpointKey, Ledger},
    saturation::StageSaturations,
};
use wire::{
    beliefs::Beliefs,
    decisions::{self, NotedDecision, ToldDecision},
    details::Details,
    exchange,
    queues::Queues,
    reply::{self, Counts, HAVE_HEADER, Have, REPLY_HEADER, Reply, WorkerState},
    report::{InFlight, Queue, Report},
    tally::Head,
};

use crate::{
    counters::Counters,
    gateway,
    host::{self, Headers},
    pool::Pool,
    receiver::Taken,
    store::{SILENCE_MAX, SharedStore},
    vm,
};

/// Age above which the sizes of queues are ignored. An arbiter writes them at every tick of 20 ms while
/// requests wait: older ones are left from an arbiter that is dead, or for which no request waits.
const QUEUES_AGE_MAX: Duration = Duration::from_secs(1);

/// Age above which a decision is told no more: it was in several replies.
const DECISION_AGE_MAX: Duration = Duration::from_secs(3);

/// A pool that is reported on.
struct Reported<'a> {
    pool: &'a str,
    endpoints: &'a [SocketAddr],
    ledger: &'a Ledger,
    now: Instant,
}

/// A body for the scraper.
pub(crate) struct Body {
    /// Media type.
    pub(crate) kind: &'static str,
    pub(crate) body: Vec<u8>,
}

/// The questions of a scraper.
#[derive(Clone, Copy)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a question by itself, and both may be asked"
)]
pub(crate) struct Questions {
    /// True if it asks for a reply, which it does now and then.
    pub(crate) reply: bool,
    /// True if it asks for what the other gateways are told, with every push.
    pub(crate) exchange: bool,
}

/// Returns the reply to a push that was taken, with the ledger that counts its snapshot. `None` if the scraper
/// does not ask for any, or if it cannot be written. A scraper of before asks by another header, and gets none.
pub(crate) fn of_push(taken: &Taken, counters: &Counters, headers: &Headers) -> Option<Body> {
    let questions = Questions {
        reply: headers.has(REPLY_HEADER),
        exchange: headers.has(exchange::EXCHANGE_HEADER),
    };
    let Taken { snapshot, ledger, .. } = taken;
    let endpoints: Vec<_> = snapshot.endpoints.iter().map(|it| it.address).collect();
    let (pool, now) = (snapshot.pool.as_str(), host::now());
    let reported = Reported { pool, endpoints: &endpoints, ledger, now };
    reported.body(questions, counters, headers.last(HAVE_HEADER).and_then(Have::parse))
}

/// Returns what a gateway that fetches tells the scraper of its pool, as the scraper asked with its last answer.
pub(crate) fn of_pull(
    pool: &Pool,
    questions: Questions,
    counters: &Counters,
    have: Option<Have>,
) -> Option<Body> {
    let (now, ledger) = (host::now(), pool.store.ledger());
    let survey = vm::in_pool(pool.id, |state| state.worker.survey(now, &ledger));
    let endpoints: Vec<_> = survey.into_iter().map(|(address, _)| address).collect();
    let name = pool.config.name.as_str();
    let reported = Reported { pool: name, endpoints: &endpoints, ledger: &ledger, now };
    reported.body(questions, counters, have)
}

impl Body {
    /// Makes the body of a report for the other gateways alone.
    fn of_exchange(body: Vec<u8>) -> Self {
        Self { kind: exchange::MEDIA_TYPE, body }
    }
}

impl Reported<'_> {
    fn body(&self, questions: Questions, counters: &Counters, have: Option<Have>) -> Option<Body> {
        let told = if questions.exchange { self.exchange() } else { None };
        if questions.reply {
            return self.reply(told, counters, have);
        }
        told.map(Body::of_exchange)
    }

    /// Returns what the other gateways are told.
    fn exchange(&self) -> Option<Vec<u8>> {
        let store = SharedStore::for_pool(self.pool);
        let report = store.report(GatewayId(gateway::id()), self.ledger, self.now);
        match exchange::encode_report(&report, self.now) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                log::warn!("failed to write the report on pool {}: {error}", self.pool);
                None
            }
        }
    }

    fn reply(
        &self,
        exchange: Option<Vec<u8>>,
        counters: &Counters,
        have: Option<Have>,
    ) -> Option<Body> {
        let heads = SharedStore::for_pool(self.pool).tallies().heads();
        let alive = heads.values().filter(|head| is_alive(head, self.now));
        let beliefs = Beliefs::merged(alive.map(|head| &head.beliefs));
        let counts = self.counts(have, &heads);
        let flows = self.flows();
        let details = self.details(&heads, &flows);
        let report = Report { details, ..self.report(counters, flows) };
        let most = |stage: fn(&Head) -> Option<f64>| {
            let alive = heads.values().filter(|head| is_alive(head, self.now));
            alive.filter_map(stage).reduce(f64::max)
        };
        let stages = StageSaturations {
            prefill: most(|head| head.stages.prefill),
            decode: most(|head| head.stages.decode),
        };
        let reply = Reply { report, counts, beliefs, stages, exchange };
        match reply.encode() {
            Ok(body) => Some(Body { kind: reply::MEDIA_TYPE, body }),
            Err(error) => {
                log::warn!("failed to write the reply on pool {}: {error}", self.pool);
                // The other gateways still hear what they are to hear.
                reply.exchange.map(Body::of_exchange)
            }
        }
    }

    fn report(&self, counters: &Counters, flows: Vec<FlowSize>) -> Report {
        let in_flight = self.endpoints.iter().filter_map(|endpoint| {
            let account = self.ledger.accounts.for_endpoint(EndpointKey::from(*endpoint));
            (account.requests > 0).then_some(InFlight {
                endpoint: *endpoint,
                requests: account.requests,
                tokens: account.tokens,
            })
        });
        Report {
            workers: self.ledger.members.iter().len(),
            waiting: self.ledger.waiting,
            decisions: counters.decisions(),
            in_flight: in_flight.collect(),
            queues: flows.into_iter().map(queue).collect(),
            details: Details::default(),
        }
    }

    /// Returns the flows that wait.
    fn flows(&self) -> Vec<FlowSize> {
        if self.ledger.waiting == 0 {
            return Vec::new();
        }
        let Queues { seen_at, flows, .. } = SharedStore::for_pool(self.pool).queues();
        let is_fresh = self.now.saturating_since(seen_at) <= QUEUES_AGE_MAX;
        if is_fresh { flows } else { Vec::new() }
    }

    fn details(&self, heads: &BTreeMap<u64, Head>, flows: &[FlowSize]) -> Details {
        let alive = || heads.iter().filter(|(_, head)| is_alive(head, self.now));
        let limits = |measure| alive().filter_map(|(_, head)| head.limits.get(measure)).max();
        let told = alive().flat_map(|(epoch, head)| {
            let age = |it: &NotedDecision| self.now.saturating_since(it.ended_at);
            let fresh = head.decisions.iter().filter(move |it| age(it) <= DECISION_AGE_MAX);
            fresh.map(move |it| ToldDecision {
                worker: *epoch,
                number: it.number,
                age: age(it),
                text: it.text.clone(),
            })
        });
        let any = alive().next().map(|(_, head)| head);
        Details {
            has_flow_control: alive().any(|(_, head)| head.has_flow_control),
            is_observing: alive().any(|(_, head)| head.is_observing),
            limits: Amounts {
                requests: limits(Measure::Requests),
                tokens: limits(Measure::Tokens),
            },
            oldest: flows.iter().map(|it| self.now.saturating_since(it.oldest)).collect(),
            objectives: any.map(|head| head.objectives.clone()).unwrap_or_default(),
            bands: any.map(|head| head.bands.clone()).unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            decisions: decisions::newest(told.collect()),
        }
    }

    /// Gathers the counts that are new to the scraper, as far as they fit into one reply.
    fn counts(&self, have: Option<Have>, heads: &BTreeMap<u64, Head>) -> Counts {
        let store = SharedStore::for_pool(self.pool);
        let tallies = store.tallies();
        let drawn = host::random();
        let wanted = vm::with(|vm| vm.sessions.of_pool(self.pool).wanted(have, drawn, heads));
        let states = heads.iter().map(|(epoch, head)| state(*epoch, head, self.now));
        let mut counts = Counts { workers: states.collect(), ..Counts::default() };
        let mut told = Vec::new();
        for wanted in wanted {
            let worker = heads.keys().position(|epoch| *epoch == wanted.epoch);
            let Some(worker) = worker.and_then(|at| u32::try_from(at).ok()) else { continue };
            let chunk = tallies.chunk(wanted.epoch, wanted.chunk);
            if !counts.add_chunk(worker, &chunk, wanted.since) {
                break;
            }
            told.push(wanted);
        }
        counts.have = vm::with(|vm| vm.sessions.of_pool(self.pool).told(told));
        counts
    }
}

fn state(epoch: u64, head: &Head, now: Instant) -> WorkerState {
    let Head { saturation, indexed, .. } = *head;
    WorkerState { epoch, is_alive: is_alive(head, now), saturation, indexed }
}

fn is_alive(head: &Head, now: Instant) -> bool {
    now.saturating_since(head.written_at) <= SILENCE_MAX
}

fn queue(FlowSize { flow, usage, .. }: FlowSize) -> Queue {
    Queue {
        priority: flow.priority.0,
        fairness_id: flow.id.to_string(),
        requests: usage.requests,
        bytes: usage.bytes,
    }
}
