//! Laws over random scripts. A failure prints the seed that reproduces it.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU16,
};

use arbtest::arbitrary::{Result, Unstructured};
use picker_core::{
    Instant,
    flow::{
        BandConfig, BandSelectionPolicy, Controller, Domain, FairnessId, FairnessPolicy,
        FairnessWeight, Floors, FlowConfig, FlowKey, Holdback, Limits, Offer, OrderingPolicy,
        PhaseKind, Priority, Share, Ticket, TicketId, TokenCost, Ttl, UsageLimitPolicy,
    },
    saturation::{Budget, Concurrency, Detector, Load},
};

use crate::{
    model::Model,
    ticket::{at, ms, serving, ticket},
};

const BANDS: [Priority; 3] = [Priority(10), Priority(0), Priority(-1)];
const FLOWS: [&str; 4] = ["a", "b", "c", "d"];

/// Runs half a second of scripts, or as many milliseconds as `ARBTEST_BUDGET_MS` says.
pub(crate) fn law(property: impl FnMut(&mut Unstructured<'_>) -> Result<()>) {
    let budget = std::env::var("ARBTEST_BUDGET_MS").ok().and_then(|ms| ms.parse().ok());
    arbtest::arbtest(property).budget_ms(budget.unwrap_or(500));
}

pub(crate) fn controller(config: &FlowConfig) -> Controller {
    let mut controller = Controller::new(config.clone(), serving());
    assert_eq!(controller.provision(Instant::default(), &BANDS), 0);
    controller
}

/// Makes any configuration that the model knows, with small limits, so that they are met.
fn any_config(u: &mut Unstructured<'_>) -> Result<FlowConfig> {
    let weights = [("a", 1), ("b", 2), ("c", 4)].map(|(id, weight)| {
        (FairnessId::new(id), FairnessWeight(NonZeroU16::new(weight).unwrap()))
    });
    let cost = TokenCost { weights: weights.into(), ..TokenCost::default() };
    let fairness =
        [FairnessPolicy::GlobalStrict, FairnessPolicy::RoundRobin, FairnessPolicy::TokenFair(cost)];
    let ordering = [OrderingPolicy::Fcfs, OrderingPolicy::Edf, OrderingPolicy::SloDeadline];
    let ttl = [Ttl::Unlimited, Ttl::Within(ms(200)), Ttl::Within(ms(2_000))];
    let max = |u: &mut Unstructured<'_>| u.int_in_range(1..=12).map(Some);
    Ok(FlowConfig {
        limits: Limits { max_requests: max(u)?, max_bytes: None },
        default_ttl: *u.choose(&ttl)?,
        no_endpoint_ttl: Some(*u.choose(&ttl)?),
        default_band: BandConfig {
            limits: Limits { max_requests: max(u)?, max_bytes: None },
            fairness: u.choose(&fairness)?.clone(),
            ordering: *u.choose(&ordering)?,
            ..BandConfig::default()
        },
        displace: u.arbitrary()?,
        ..FlowConfig::default()
    })
}

fn any_ticket(u: &mut Unstructured<'_>, request: u32, now: u64) -> Result<Ticket> {
    let late = u.int_in_range(0..=30)?;
    let flow = u.choose(&FLOWS)?;
    let mut ticket = ticket(request, flow, u.choose(&BANDS)?.0, now.saturating_sub(late));
    ticket.prompt_tokens = u.int_in_range(1..=100)?;
    ticket.uncached_tokens = u.int_in_range(0..=ticket.prompt_tokens)?;
    ticket.output_tokens = u.int_in_range(0..=100)?;
    let wishes = [None, Some(ms(50)), Some(ms(500))];
    (ticket.ttl, ticket.slo_ttft) = (*u.choose(&wishes)?, *u.choose(&wishes)?);
    Ok(ticket)
}

/// The controller and the model, side by side.
struct Pair {
    controller: Controller,
    model: Model,
    now: u64,
    offered: u32,
    answers: BTreeMap<TicketId, u32>,
    transcript: String,
}

impl Pair {
    fn new(config: &FlowConfig) -> Self {
        Self {
            controller: controller(config),
            model: Model::new(config.clone()),
            now: 0,
            offered: 0,
            answers: BTreeMap::new(),
            transcript: String::new(),
        }
    }

    fn answer(&mut self, id: TicketId, how: &str) {
        *self.answers.entry(id).or_default() += 1;
        self.transcript.push_str(&format!("{} {how} {}\n", self.now, id.request));
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        self.now += u.int_in_range(0..=60)?;
        match u.int_in_range(0..=9)? {
            0..=4 => self.offer(u)?,
            5 | 6 => self.dispatch(u.int_in_range(0..=3)?),
            7 => self.expire(if u.ratio(1, 4)? { PhaseKind::Empty } else { PhaseKind::Serving }),
            8 => self.cancel(u)?,
            _ if u.arbitrary()? => self.charge(u)?,
            _ => self.correct(u)?,
        }
        self.agree();
        Ok(())
    }

    fn offer(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let ticket = any_ticket(u, self.offered, self.now)?;
        let id = ticket.id;
        self.offered += 1;
        if u.ratio(1, 10)? {
            self.model.hand_in(ticket.clone());
            self.controller.hand_in(at(self.now), ticket);
            return Ok(());
        }
        let expected = self.model.offer(ticket.clone());
        let got = match self.controller.offer(at(self.now), ticket) {
            Offer::Queued => Ok(Vec::new()),
            Offer::Displaced(victims) => Ok(victims),
            Offer::Rejected(rejection) => Err(rejection.outcome),
        };
        assert_eq!(got, expected);
        match got {
            Ok(victims) => victims.iter().for_each(|victim| self.answer(*victim, "displaced")),
            Err(outcome) => self.answer(id, outcome.label()),
        }
        Ok(())
    }

    fn dispatch(&mut self, places: u32) {
        let mut room = Budget::for_requests(places);
        for _ in 0..places {
            let granted = self.controller.dispatch(at(self.now), &mut room);
            let expected = self.model.dispatch();
            assert_eq!(granted, expected);
            granted.iter().for_each(|ticket| self.answer(ticket.id, "granted"));
        }
        assert_eq!(self.controller.dispatch(at(self.now), &mut room).filter(|_| places > 0), None);
    }

    fn expire(&mut self, kind: PhaseKind) {
        let mut phase = self.controller.phase();
        phase.see(kind, at(self.now));
        let got: BTreeSet<_> = self.controller.expire(at(self.now), phase).collect();
        assert_eq!(got, self.model.expire(at(self.now), kind).into_iter().collect());
        got.iter().for_each(|(id, outcome)| self.answer(*id, outcome.label()));
    }

    fn cancel(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let id = TicketId { worker: 0, request: u.int_in_range(0..=self.offered)? };
        let cancelled = self.controller.cancel(at(self.now), id);
        assert_eq!(cancelled, self.model.remove(id).is_some());
        if cancelled {
            self.answer(id, "cancelled");
        }
        Ok(())
    }

    fn charge(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let flow = FlowKey { id: FairnessId::new(u.choose(&FLOWS)?), priority: *u.choose(&BANDS)? };
        let (tokens, expected) = (u.int_in_range(0..=200)?, u.int_in_range(0..=200)?);
        self.controller.charge(&flow, tokens, expected);
        self.model.charge(&flow, tokens, expected);
        Ok(())
    }

    fn correct(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let flow = FlowKey { id: FairnessId::new(u.choose(&FLOWS)?), priority: *u.choose(&BANDS)? };
        let (charged, found) = (u.int_in_range(0..=100)?, u.int_in_range(0..=100)?);
        self.controller.correct(&flow, charged, found);
        self.model.correct(&flow, charged, found);
        Ok(())
    }

    /// Asserts that all that can be asked is answered alike.
    fn agree(&self) {
        let waiting = &self.model.waiting;
        assert_eq!(self.controller.waiting().requests, waiting.len() as u64);
        let next = waiting.iter().filter_map(|ticket| self.model.deadline(ticket)).min();
        assert_eq!(self.controller.next_deadline(), next);
        let mut flows: BTreeMap<FlowKey, u64> = BTreeMap::new();
        for ticket in waiting {
            *flows.entry(ticket.flow.clone()).or_default() += 1;
        }
        let sizes = self.controller.flow_sizes(usize::MAX).into_iter();
        assert_eq!(
            sizes.map(|size| (size.flow, size.usage.requests)).collect::<BTreeMap<_, _>>(),
            flows
        );
    }
}

/// The whole controller does what the model does: strict bands, every fairness and ordering
/// policy, capacity, displacement, time to live in both regimes, hand-in, cancellation. At the end
/// every ticket has had exactly one answer.
#[test]
fn the_controller_does_what_the_model_does() {
    law(|u| {
        let mut pair = Pair::new(&any_config(u)?);
        while !u.is_empty() {
            pair.step(u)?;
        }
        pair.dispatch(u32::try_from(pair.model.waiting.len()).unwrap() + 1);
        let all: BTreeMap<_, _> =
            (0..pair.offered).map(|request| (TicketId { worker: 0, request }, 1)).collect();
        assert_eq!(pair.answers, all);
        Ok(())
    });
}

#[test]
fn the_same_script_gives_the_same_transcript() {
    law(|u| {
        let config = any_config(u)?;
        let script = u.bytes(u.len())?;
        let transcript = || -> Result<String> {
            let (mut pair, mut u) = (Pair::new(&config), Unstructured::new(script));
            while !u.is_empty() {
                pair.step(&mut u)?;
            }
            Ok(pair.transcript)
        };
        assert_eq!(transcript()?, transcript()?);
        Ok(())
    });
}

/// No more waits than the limits say, by requests or bytes, in a band or in all.
#[test]
fn limits_are_never_passed() {
    law(|u| {
        let any = |u: &mut Unstructured<'_>| -> Result<Limits> {
            Ok(Limits {
                max_requests: Some(u.int_in_range(1..=20)?),
                max_bytes: Some(u.int_in_range(1..=500)?),
            })
        };
        let (limits, of_band) = (any(u)?, any(u)?);
        let default_band = BandConfig { limits: of_band, ..BandConfig::default() };
        let config = FlowConfig { limits, default_band, displace: true, ..FlowConfig::default() };
        let mut controller = controller(&config);
        let mut request = 0;
        while !u.is_empty() {
            let mut ticket = any_ticket(u, request, u64::from(request))?;
            ticket.bytes = u.int_in_range(0..=100)?;
            let (id, priority) = (ticket.id, ticket.flow.priority);
            request += 1;
            if let Offer::Displaced(victims) = controller.offer(at(0), ticket) {
                assert!(!victims.contains(&id) && priority > BANDS[2]);
            }
            let bands: Vec<_> = controller.band_sizes().map(|band| band.usage).collect();
            for (usage, limits) in bands
                .into_iter()
                .map(|usage| (usage, of_band))
                .chain([(controller.waiting(), limits)])
            {
                assert!(usage.requests <= limits.max_requests.unwrap());
                assert!(usage.bytes <= limits.max_bytes.unwrap());
            }
        }
        Ok(())
    });
}

/// Between two flows that both keep waiting, turns differ by at most one, although others come and
/// go.
#[test]
fn round_robin_takes_turns() {
    law(|u| {
        let (fairness, limits) = (FairnessPolicy::RoundRobin, Limits::default());
        let default_band = BandConfig { fairness, limits, ..BandConfig::default() };
        let mut controller = controller(&FlowConfig { default_band, ..FlowConfig::default() });
        let mut served: BTreeMap<String, i64> = BTreeMap::new();
        let mut request = 0;
        let mut offer = |controller: &mut Controller, flow: &str| {
            request += 1;
            assert_eq!(controller.offer(at(0), ticket(request, flow, 0, 0)), Offer::Queued);
        };
        for flow in ["p", "q", "p", "q"] {
            offer(&mut controller, flow);
        }
        while !u.is_empty() {
            if u.arbitrary()? {
                offer(&mut controller, u.choose(&["a", "pp", "z"])?);
                continue;
            }
            let Some(ticket) = controller.dispatch(at(0), &mut Budget::for_requests(1)) else {
                panic!()
            };
            let flow = ticket.flow.id.as_str().to_owned();
            if flow == "p" || flow == "q" {
                offer(&mut controller, &flow);
            }
            *served.entry(flow).or_default() += 1;
            let of = |flow| served.get(flow).copied().unwrap_or(0);
            assert!((of("p") - of("q")).abs() <= 1, "{served:?}");
        }
        Ok(())
    });
}

/// A band that keeps waiting gets its floor, less one dispatch a band.
#[test]
fn weighted_bands_keep_their_floors() {
    law(|u| {
        let shares: Vec<f64> = BANDS
            .iter()
            .map(|_| Ok(f64::from(u.int_in_range(0..=33)?) / 100.0))
            .collect::<Result<_>>()?;
        let bands = BANDS.into_iter().zip(shares.iter().map(|share| Share::clamped(*share)));
        let floors = Floors { bands: bands.collect(), ..Floors::default() };
        let band_selection = BandSelectionPolicy::Weighted(floors);
        let mut controller = controller(&FlowConfig { band_selection, ..FlowConfig::default() });
        // The middle band comes and goes; the others always wait.
        let mut served = BTreeMap::from(BANDS.map(|band| (band, 0.0)));
        let mut request = 0;
        let mut offer = |controller: &mut Controller, band: Priority| {
            request += 1;
            let _ = controller.offer(at(0), ticket(request, "a", band.0, u64::from(request)));
        };
        for band in [BANDS[0], BANDS[2], BANDS[0], BANDS[2]] {
            offer(&mut controller, band);
        }
        let mut dispatches = 0.0;
        while !u.is_empty() {
            if u.ratio(1, 3)? {
                offer(&mut controller, BANDS[1]);
            }
            let band =
                controller.dispatch(at(0), &mut Budget::for_requests(1)).unwrap().flow.priority;
            if band != BANDS[1] {
                offer(&mut controller, band);
            }
            *served.get_mut(&band).unwrap() += 1.0;
            dispatches += 1.0;
            for (band, share) in [(BANDS[0], shares[0]), (BANDS[2], shares[2])] {
                let floor = dispatches * share - 3.0;
                assert!(served[&band] >= floor, "{band}: {served:?} of {dispatches}, {share}");
            }
        }
        Ok(())
    });
}

/// The band that goes is the highest in which a request waits and with a ceiling that the
/// saturation is below; none goes only if there is none.
#[test]
fn no_lower_band_goes_before_a_higher_one_that_could() {
    law(|u| {
        let (lowest, highest) = (u.int_in_range(0..=50)?, u.int_in_range(51..=100)?);
        let (lowest, highest) = (f64::from(lowest) / 100.0, f64::from(highest) / 100.0);
        let holdback = Holdback::spread(Domain::Rank, lowest, highest).unwrap();
        let usage_limit = UsageLimitPolicy::PriorityHoldback(holdback);
        let mut controller = controller(&FlowConfig { usage_limit, ..FlowConfig::default() });
        let ceilings = [highest, f64::midpoint(highest, lowest), lowest];
        let detector = Concurrency { max_requests: 20, ..Concurrency::default() };
        let mut waiting: BTreeMap<Priority, u64> = BTreeMap::new();
        let mut request = 0;
        while !u.is_empty() {
            for _ in 0..u.int_in_range(0..=3)? {
                request += 1;
                let band = *u.choose(&BANDS)?;
                *waiting.entry(band).or_default() += 1;
                let _ = controller.offer(at(0), ticket(request, "a", band.0, 0));
            }
            let load = Load { in_flight: u.int_in_range(0..=20)?, ..Load::default() };
            let mut room = Detector::Concurrency(detector).room(&[load]);
            let mut granted = true;
            while granted {
                let open = BANDS.into_iter().zip(ceilings).find(|(band, ceiling)| {
                    waiting.get(band).is_some_and(|n| *n > 0) && room.saturation() < *ceiling
                });
                let grant = controller.dispatch(at(0), &mut room);
                assert_eq!(grant.as_ref().map(|it| it.flow.priority), open.map(|(band, _)| band));
                granted = grant.is_some();
                waiting
                    .entry(grant.map_or(Priority(99), |it| it.flow.priority))
                    .and_modify(|n| *n -= 1);
            }
        }
        Ok(())
    });
}

/// Tickets that an arbiter left behind go in the order in which they would have gone, however they
/// are handed in.
#[test]
fn an_arbiter_is_replaced_without_a_change_of_order() {
    law(|u| {
        let config = FlowConfig::default();
        let (mut old, mut new) = (controller(&config), controller(&config));
        let mut tickets = Vec::new();
        for request in 0..u.int_in_range(0..=30)? {
            let ticket = any_ticket(u, request, u64::from(request))?;
            assert_eq!(old.offer(at(100), ticket.clone()), Offer::Queued);
            tickets.push(ticket);
        }
        for _ in 0..u.int_in_range(0..=30)? {
            let gone = old.dispatch(at(100), &mut Budget::for_requests(1));
            tickets.retain(|ticket| Some(ticket.id) != gone.as_ref().map(|gone| gone.id));
        }
        while !tickets.is_empty() {
            let index = u.choose_index(tickets.len())?;
            new.hand_in(at(200), tickets.swap_remove(index));
        }
        let mut room = Budget::for_requests(u32::MAX);
        let rest = |controller: &mut Controller, room: &mut Budget| {
            std::iter::from_fn(|| controller.dispatch(at(200), room)).collect::<Vec<_>>()
        };
        assert_eq!(rest(&mut old, &mut room), rest(&mut new, &mut room));
        Ok(())
    });
}
