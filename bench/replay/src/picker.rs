//! llm-picker itself: the workers of one Envoy, each the [`Worker`] that ships.
//!
//! The worker decides, counts and tells the others by itself. Only its surroundings are written here,
//! as the filter has them: the shared store, and snapshots that come as late as the scraper makes
//! them. Flow control is off. The workers do not tick: without flow control a tick reads nothing that
//! a worker's next turn does not read, and no worker dies.

mod exchange;
mod store;

use std::{net::SocketAddr, time::Duration};

use picker_core::{
    CacheConfig, Config, End, Endpoint, Health, Incarnation, InferenceRequest, Instant, Metrics,
    Randomness, RequestId, ResponseClass, ResponseStart, Snapshot, TextMeasure, TokenUsage,
    flow::FlowKey,
    ledger::WorkerId,
    worker::{
        Conduct, Effect, Input, Observation, PendingRequest, Worker, WorkerConfig, WorkerName,
    },
    workers::{AdmissionResult, QueueId},
};

use crate::{
    fleet::{Fleet, Pod, Reading, Role, adapter_name},
    router::{Arrival, Route, Router, Usage},
    trace::BLOCK_TOKENS,
};
pub(crate) use exchange::{Exchange, ExchangeEnd};
pub(crate) use store::SharedStore;

/// The scraper's own rhythm: 20 times a second.
const SCRAPES_EVERY: Duration = Duration::from_millis(50);

/// Workers of an Envoy.
pub(crate) const WORKERS: usize = 4;

/// The sign by which a gateway takes a prompt for computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerSign {
    /// The first token, as the filter does.
    FirstToken,
    /// The headers, which a stream sends at once: shows what that mistake costs.
    Headers,
}

/// An Envoy: its workers, the store that they share, and the pods behind it.
pub(crate) struct Picker {
    store: SharedStore,
    workers: Vec<Worker>,
    pods: Vec<Pod>,
    /// Dice for the worker of each request: the kernel chooses it at random.
    chance: fastrand::Rng,
    /// Index of the worker that each request came to, by the request's number.
    placed_by: Vec<usize>,
    sign: AnswerSign,
    /// The end of the exchange with the other gateways; `None` where they know nothing of each other.
    end: Option<ExchangeEnd>,
}

impl Picker {
    /// Starts an Envoy of so many workers over these pods.
    pub(crate) fn new(config: &Config, workers: usize, pods: &[Pod], seed: u64) -> Self {
        let mut chance = fastrand::Rng::with_seed(seed);
        let config = WorkerConfig {
            scheduler: config.clone(),
            // Before the first snapshot Envoy goes on by itself.
            conduct: Conduct::FailsOpen,
            ..WorkerConfig::default()
        };
        let worker = |number: usize| {
            // No request is held without flow control, so that no worker gets messages.
            let name = WorkerName { id: WorkerId(number as u64 + 1), queue: QueueId::default() };
            Worker::new(
                name,
                config.clone(),
                Instant::default(),
                Randomness::from_seed(chance.u64(..)),
            )
        };
        Self {
            workers: (0..workers).map(worker).collect(),
            store: SharedStore::default(),
            pods: pods.to_vec(),
            chance: fastrand::Rng::with_seed(!seed),
            placed_by: Vec::new(),
            sign: AnswerSign::FirstToken,
            end: None,
        }
    }

    /// Takes part in an exchange, as the gateway of this number.
    pub(crate) fn exchanging(self, exchange: Exchange, number: usize) -> Self {
        Self { end: Some(ExchangeEnd::new(exchange, number)), ..self }
    }

    /// Goes by this sign.
    pub(crate) fn going_by(self, sign: AnswerSign) -> Self {
        Self { sign, ..self }
    }

    /// Tells a worker that the prompt of a request is computed, as far as it knows.
    fn respond(&mut self, now: Duration, request: usize) {
        let start = ResponseStart { served_by: None, class: ResponseClass::Taken };
        let input = Input::Responded { request: id(request), start };
        self.tell(instant(now), self.worker_of(request), input);
    }

    /// Tells a worker of an event and carries out what it asks for. Returns its answer, if the event
    /// was a request's arrival.
    fn tell(&mut self, now: Instant, number: usize, input: Input) -> Option<AdmissionResult> {
        let worker = self.workers.get_mut(number)?;
        let mut answer = None;
        let effects = self.store.turn(now, worker, input);
        let written = self.store.take_written();
        self.end.iter_mut().for_each(|end| end.tell(&written));
        for effect in effects {
            match effect {
                Effect::Decide(decision) => answer = Some(decision.result),
                Effect::Publish { position, events } => {
                    self.end.iter_mut().for_each(|end| end.tell(&events));
                    self.store.publish(now, position, events);
                }
                Effect::Send(_) | Effect::Then(_) | Effect::TickSoon | Effect::Evict { .. } => {
                    debug_assert!(false, "an effect of flow control, which is off");
                }
                Effect::ReportUnreadable(_)
                | Effect::ReportContended
                | Effect::ReportRecount
                | Effect::RemoveHeartbeat { .. } => {
                    debug_assert!(false, "the store holds no bytes, and workers take turns");
                }
                // Heartbeats serve workers that outlive others, and metrics have no reader here.
                Effect::ShowHeartbeat | Effect::ShowPool(_) => (),
            }
        }
        answer
    }

    /// Returns the index of the worker that a request came to.
    fn worker_of(&self, request: usize) -> usize {
        self.placed_by.get(request).copied().unwrap_or(0)
    }

    fn endpoint(&self, pod: usize, reading: &Reading, age: Duration) -> Endpoint {
        let blocks = self.pods.get(pod).map_or(0, Pod::blocks);
        let metrics = Metrics {
            age,
            waiting: small(reading.waiting),
            running: small(reading.running),
            #[expect(clippy::cast_possible_truncation, reason = "a share, 0 to 1")]
            kv_usage: reading.kv_usage as f32,
            cache: Some(CacheConfig { block_tokens: small(BLOCK_TOKENS), blocks: small(blocks) }),
            adapters: reading.adapters.clone(),
            ..Metrics::default()
        };
        Endpoint {
            address: address(pod),
            health: Health::Up,
            metrics: Some(metrics),
            labels: self.pods.get(pod).and_then(role_label).into_iter().collect(),
            incarnation: Incarnation::default(),
        }
    }
}

impl Router for Picker {
    fn scrapes_every(&self) -> Option<Duration> {
        Some(SCRAPES_EVERY)
    }

    fn scraped(&mut self, now: Duration, readings: &[Reading], age: Duration) {
        let endpoint = |(pod, reading)| self.endpoint(pod, reading, age);
        let endpoints = readings.iter().enumerate().map(endpoint).collect();
        // The workers tell the scraper, and the scraper tells all of them.
        let told: Vec<TextMeasure> = self.workers.iter().flat_map(Worker::texts).collect();
        let texts = TextMeasure::merged(&told);
        let snapshot = Snapshot { endpoints, texts, ..Snapshot::default() };
        // The effects wake workers that hold requests, and show the pool in metrics: neither exists here.
        let _ = self.store.store_snapshot(instant(now), snapshot);
        if let Some(end) = &mut self.end {
            let _ = end.push(instant(now), &mut self.store);
        }
    }

    fn shares_scraper(&self) -> bool {
        self.end.is_some()
    }

    fn place(&mut self, now: Duration, arrival: Arrival<'_>, _fleet: &Fleet) -> Route {
        let number = self.chance.usize(..self.workers.len().max(1));
        if self.placed_by.len() <= arrival.number {
            self.placed_by.resize(arrival.number + 1, 0);
        }
        if let Some(placed_by) = self.placed_by.get_mut(arrival.number) {
            *placed_by = number;
        }
        let answer = self.tell(instant(now), number, Input::Arrived(Box::new(pending(arrival))));
        if let Some(AdmissionResult::Sent(result)) = answer
            && let Some(first) = result.ranked.first()
        {
            let prefill = result.prefill.as_ref().map(|it| pod(it.endpoint));
            return Route { pod: pod(*first), prefill };
        }
        // Before the first snapshot Envoy goes on by itself: round robin.
        (arrival.number % self.pods.len().max(1)).into()
    }

    fn headers(&mut self, now: Duration, request: usize) {
        if self.sign == AnswerSign::Headers {
            self.respond(now, request);
        }
    }

    fn answered(&mut self, now: Duration, request: usize) {
        if self.sign == AnswerSign::FirstToken {
            self.respond(now, request);
        }
        let number = self.worker_of(request);
        if let Some(worker) = self.workers.get_mut(number) {
            worker.observe(Observation::FirstToken { request: id(request), at: instant(now) });
        }
    }

    fn ended(&mut self, now: Duration, request: usize, usage: Usage) {
        let usage = TokenUsage {
            prompt: small(usage.prompt),
            cached: Some(small(usage.cached)),
            output: small(usage.output),
        };
        let number = self.worker_of(request);
        if let Some(worker) = self.workers.get_mut(number) {
            worker.observe(Observation::Metered { request: id(request), at: instant(now), usage });
        }
        let ended = Input::Ended { request: id(request), start: None, end: End::Whole };
        self.tell(instant(now), self.worker_of(request), ended);
    }
}

/// Makes a request as the filter hands it to its worker.
fn pending(arrival: Arrival<'_>) -> PendingRequest {
    let text_bytes = small(arrival.request.prompt * arrival.token_bytes);
    PendingRequest {
        id: id(arrival.number),
        request: InferenceRequest {
            chain: arrival.chain.clone(),
            model: arrival.request.claims.adapter.map(adapter_name).unwrap_or_default(),
            output_max: arrival.request.claims.max_tokens.map(small),
            text_bytes: Some(text_bytes),
            ..InferenceRequest::default()
        },
        flow: FlowKey::default(),
        bytes: 0,
        ttl: None,
        slo_ttft: None,
    }
}

/// Returns the label with a pod's role; none of a pod that does all.
fn role_label(pod: &Pod) -> Option<(String, String)> {
    let role = match pod.role {
        Role::Both => return None,
        Role::Prefill => "prefill",
        Role::Decode => "decode",
    };
    Some((picker_core::Role::LABEL.to_owned(), role.to_owned()))
}

/// Gives each pod an address of its own, by its port.
fn address(pod: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 8000 + u16::try_from(pod).unwrap_or(0)))
}

fn pod(address: SocketAddr) -> usize {
    usize::from(address.port().saturating_sub(8000))
}

fn id(request: usize) -> RequestId {
    RequestId(small(request))
}

fn instant(at: Duration) -> Instant {
    Instant::from_nanos(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX))
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use picker_core::{Chain, Chainer, Seed};

    use super::*;
    use crate::trace::Trace;

    const NO_AGE: Duration = Duration::ZERO;

    /// Makes an Envoy of two workers over two idle pods, which knows a snapshot.
    fn picker() -> Picker {
        let mut picker = Picker::new(&Config::default(), 2, &[Pod::H100; 2], 1);
        picker.scraped(Duration::ZERO, &[Reading::default(), Reading::default()], NO_AGE);
        picker
    }

    fn prompt() -> Chain {
        let mut chainer = Chainer::new(&Seed { model: "replay", ..Seed::default() }, 64);
        chainer.update(&[b'a'; 4_096]);
        chainer.finish()
    }

    fn arrived(number: usize) -> Input {
        let trace = Trace::conversation().unwrap();
        let chain = prompt();
        Input::Arrived(Box::new(pending(Arrival {
            number,
            request: &trace.requests[0],
            chain: &chain,
            token_bytes: 4,
        })))
    }

    #[test]
    fn another_worker_learns_a_placement_with_the_ledger_that_counts_it() {
        let mut picker = picker();
        let placed = Instant::from_nanos(1_000_000_000);
        assert!(matches!(picker.tell(placed, 0, arrived(0)), Some(AdmissionResult::Sent(_))));
        let known = picker.workers[0].indexed();
        assert!(known > 0, "the worker that placed it knows it at once");
        picker.tell(placed, 1, Input::Look);
        assert_eq!(picker.workers[1].indexed(), known);
    }

    #[test]
    fn another_gateway_learns_a_placement_by_the_exchange() {
        let exchange = Exchange::new(2);
        let mut gateways = [0, 1].map(|number| picker().exchanging(exchange.clone(), number));
        let push = |gateways: &mut [Picker; 2], ms| {
            let (at, readings) =
                (Duration::from_millis(ms), [Reading::default(), Reading::default()]);
            gateways.iter_mut().for_each(|gateway| gateway.scraped(at, &readings, NO_AGE));
        };
        push(&mut gateways, 50);
        gateways[0].tell(Instant::from_nanos(60_000_000), 0, arrived(0));
        let known = gateways[0].workers[0].indexed();
        assert!(known > 0, "the gateway that placed it knows it at once");
        // Told in the reply to one push, and passed on in the next.
        push(&mut gateways, 100);
        push(&mut gateways, 150);
        gateways[1].tell(Instant::from_nanos(200_000_000), 0, Input::Look);
        assert_eq!(gateways[1].workers[0].indexed(), known);
    }

    #[test]
    fn a_request_counts_in_the_ledger_from_its_placement_to_its_end() {
        let mut picker = picker();
        let at = Duration::from_secs(1);
        picker.tell(instant(at), 0, arrived(0));
        assert_eq!(picker.store.in_flight(), 1);
        picker.answered(at + Duration::from_millis(50), 0);
        assert_eq!(picker.store.in_flight(), 1);
        picker.ended(
            at + Duration::from_millis(90),
            0,
            Usage { prompt: 1_024, cached: 0, output: 1 },
        );
        assert_eq!(picker.store.in_flight(), 0);
    }

    #[test]
    fn a_prompt_is_computed_at_the_first_token_and_not_at_the_headers() {
        for (sign, left) in [(AnswerSign::FirstToken, 1_024), (AnswerSign::Headers, 0)] {
            let mut picker = picker().going_by(sign);
            let at = Duration::from_secs(1);
            picker.tell(instant(at), 0, arrived(0));
            assert_eq!(picker.store.uncomputed(), 1_024);
            picker.headers(at + Duration::from_millis(4), 0);
            assert_eq!(picker.store.uncomputed(), left, "{sign:?}");
            picker.answered(at + Duration::from_millis(300), 0);
            assert_eq!(picker.store.uncomputed(), 0);
        }
    }

    #[test]
    fn before_the_first_snapshot_envoy_goes_on_by_itself() {
        let mut picker = Picker::new(&Config::default(), 2, &[Pod::H100; 2], 1);
        let answer = picker.tell(Instant::default(), 0, arrived(0));
        assert_eq!(answer, Some(AdmissionResult::FailedOpen));
    }
}
