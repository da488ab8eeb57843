//! The cost of a decision with 5,000 requests waiting in 100 flows: one offer and one dispatch, so
//! that as many wait afterwards.

use divan::{Bencher, black_box};
use picker_core::{
    Instant,
    flow::{
        BandConfig, BandSelectionPolicy, Controller, FairnessId, FairnessPolicy, Floors,
        FlowConfig, FlowKey, PhaseKind, Priority, Ticket, TicketId,
    },
    ledger::PoolPhase,
    saturation::{Budget, Detector, Load},
};

const WAITING: u32 = 5_000;
const FLOWS: u32 = 100;
const BANDS: [i32; 4] = [10, 5, 0, -1];

fn main() {
    divan::main();
}

/// A crowd at one controller; the clock moves by a microsecond a request.
struct Crowd {
    controller: Controller,
    request: u32,
}

impl Crowd {
    fn new(config: FlowConfig) -> Self {
        let mut controller = Controller::new(config, PoolPhase::default());
        controller.provision(Instant::default(), &BANDS.map(Priority));
        let mut crowd = Self { controller, request: 0 };
        for _ in 0..WAITING {
            crowd.offer();
        }
        assert_eq!(crowd.controller.waiting().requests, u64::from(WAITING));
        crowd
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(u64::from(self.request) * 1_000)
    }

    fn offer(&mut self) -> TicketId {
        self.request = self.request.wrapping_add(1);
        // A hash, so that flows don't come in order.
        let mix = self.request.wrapping_mul(0x9E37_79B9) >> 8;
        let priority = BANDS.into_iter().cycle().nth((mix / FLOWS % 4) as usize).unwrap_or(0);
        let id = TicketId { worker: u64::from(mix % 4), request: self.request };
        let flow = FairnessId::new(&format!("tenant-{:03}", mix % FLOWS));
        let ticket = Ticket {
            id,
            flow: FlowKey { id: flow, priority: Priority(priority) },
            bytes: 2_000,
            prompt_tokens: mix % 1_000,
            uncached_tokens: mix % 1_000,
            output_tokens: 256,
            arrived: self.now(),
            ttl: None,
            slo_ttft: None,
        };
        let _ = black_box(self.controller.offer(self.now(), ticket));
        id
    }
}

#[divan::bench(args = FairnessPolicy::NAMES, sample_size = 1_000)]
fn offer_and_dispatch(bencher: Bencher<'_, '_>, fairness: &str) {
    let fairness = fairness.parse().unwrap_or_default();
    let default_band = BandConfig { fairness, ..BandConfig::default() };
    let mut crowd = Crowd::new(FlowConfig { default_band, ..FlowConfig::default() });
    let mut room = Budget::for_requests(u32::MAX);
    bencher.bench_local(|| {
        crowd.offer();
        crowd.controller.dispatch(crowd.now(), &mut room)
    });
}

#[divan::bench(sample_size = 1_000)]
fn offer_and_dispatch_weighted_bands(bencher: Bencher<'_, '_>) {
    let band_selection = BandSelectionPolicy::Weighted(Floors::default());
    let mut crowd = Crowd::new(FlowConfig { band_selection, ..FlowConfig::default() });
    let mut room = Budget::for_requests(u32::MAX);
    bencher.bench_local(|| {
        crowd.offer();
        crowd.controller.dispatch(crowd.now(), &mut room)
    });
}

#[divan::bench(sample_size = 1_000)]
fn offer_and_cancel(bencher: Bencher<'_, '_>) {
    let mut crowd = Crowd::new(FlowConfig::default());
    bencher.bench_local(|| {
        let id = crowd.offer();
        crowd.controller.cancel(crowd.now(), id)
    });
}

#[divan::bench]
fn change_of_regime(bencher: Bencher<'_, '_>) {
    let mut crowd = Crowd::new(FlowConfig::default());
    let mut regimes = [PhaseKind::Empty, PhaseKind::Serving].into_iter().cycle();
    bencher.bench_local(|| {
        let mut phase = crowd.controller.phase();
        phase.see(regimes.next().unwrap_or(PhaseKind::Serving), crowd.now());
        crowd.controller.expire(crowd.now(), phase).count()
    });
}

#[divan::bench(args = [10, 100, 1_000])]
fn measure_room(bencher: Bencher<'_, '_>, endpoints: usize) {
    let loads =
        vec![Load { waiting: 1, kv_usage: 0.5, in_flight: 9, ..Load::default() }; endpoints];
    let detector = Detector::default();
    bencher.bench_local(|| detector.room(black_box(&loads)).places(1.0));
}
