//! Token fairness, between tenants that could not be less alike.

use std::{collections::BTreeMap, num::NonZeroU16};

use arbtest::arbitrary::{Result, Unstructured};
use picker_core::{
    flow::{
        BandConfig, Controller, FairnessId, FairnessPolicy, FairnessWeight, FlowConfig, FlowKey,
        Limits, Offer, Ticket, TokenCost,
    },
    saturation::Budget,
};

use crate::{
    laws::{controller, law},
    ticket::{at, ticket},
};

/// The bound of token fairness, as `TokenCost` states it: while two flows both wait, what they
/// got over their weights differs by at most `2 * max(prompt * L, output * M)`.
#[test]
fn token_fairness_keeps_its_bound() {
    law(|u| {
        let mut world = Tokens::new();
        while !u.is_empty() {
            world.step(u)?;
        }
        Ok(())
    });
}

/// Two flows that always wait, of weight 1 and 3, a third that comes and goes, and an engine that
/// runs four requests at once and reports what was cached and what it wrote as it pleases.
struct Tokens {
    controller: Controller,
    request: u32,
    running: Vec<Running>,
    got: BTreeMap<String, f64>,
}

/// A request that was dispatched.
struct Running {
    flow: FlowKey,
    charged: u32,
    /// Output tokens that it was charged for at dispatch.
    expected: u32,
    /// Uncached tokens, in truth.
    found: u32,
    is_corrected: bool,
    output: u32,
}

impl Tokens {
    const WEIGHTS: [(&str, u16); 2] = [("light", 1), ("heavy", 3)];
    const PROMPT_MAX: u32 = 100;
    const OUTPUT_MAX: u32 = 50;
    const RUNNING_MAX: u32 = 4;

    fn new() -> Self {
        let weights = Self::WEIGHTS.map(|(id, weight)| {
            (FairnessId::new(id), FairnessWeight(NonZeroU16::new(weight).unwrap()))
        });
        let cost = TokenCost { weights: weights.into(), ..TokenCost::default() };
        let (fairness, limits) = (FairnessPolicy::TokenFair(cost), Limits::default());
        let default_band = BandConfig { fairness, limits, ..BandConfig::default() };
        let controller = controller(&FlowConfig { default_band, ..FlowConfig::default() });
        let got = Self::WEIGHTS.map(|(id, _)| (id.to_owned(), 0.0)).into();
        Self { controller, request: 0, running: Vec::new(), got }
    }

    fn offer(&mut self, flow: &str, (prompt_tokens, uncached_tokens): (u32, u32)) {
        self.request += 1;
        let ticket = ticket(self.request, flow, 0, 0);
        let output_tokens = self.request % (Self::OUTPUT_MAX + 1);
        let ticket = Ticket { prompt_tokens, uncached_tokens, output_tokens, ..ticket };
        assert_eq!(self.controller.offer(at(0), ticket), Offer::Queued);
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let waiting = self.controller.flow_sizes(9);
        for (flow, _) in Self::WEIGHTS {
            // The light tenant sends small requests, the heavy one large ones: by turns, it would
            // get far more than its share.
            let most = if flow == "light" { 10 } else { Self::PROMPT_MAX };
            if waiting.iter().all(|size| size.flow.id.as_str() != flow || size.usage.requests < 2) {
                let prompt = u.int_in_range(1..=most)?;
                self.offer(flow, (prompt, u.int_in_range(0..=prompt)?));
                self.offer(flow, (most, u.int_in_range(0..=most)?));
            }
        }
        if u.ratio(1, 4)? {
            self.offer("guest", (Self::PROMPT_MAX, Self::PROMPT_MAX));
        }
        if u32::try_from(self.running.len()).unwrap() < Self::RUNNING_MAX && u.arbitrary()? {
            self.dispatch(u)?;
        } else if !self.running.is_empty() {
            let index = u.choose_index(self.running.len())?;
            self.correct(index);
            if u.arbitrary()? {
                let Running { flow, expected, output, .. } = self.running.swap_remove(index);
                self.controller.charge(&flow, output, expected);
                self.count(&flow, f64::from(2 * output));
            }
        }
        let difference = (self.got["light"] - self.got["heavy"]).abs();
        let in_flight = Self::RUNNING_MAX * (Self::PROMPT_MAX + Self::OUTPUT_MAX);
        let bound = f64::from(2 * (2 * in_flight).max(Self::PROMPT_MAX));
        assert!(difference <= bound, "{difference} > {bound}");
        Ok(())
    }

    fn dispatch(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let ticket = self.controller.dispatch(at(0), &mut Budget::for_requests(1)).unwrap();
        let (charged, expected) = (ticket.uncached_tokens, ticket.output_tokens);
        let flow = ticket.flow;
        let found = u.int_in_range(0..=ticket.prompt_tokens)?;
        let output = u.int_in_range(0..=Self::OUTPUT_MAX)?;
        self.count(&flow, f64::from(found.max(1)));
        self.running.push(Running { flow, charged, expected, found, is_corrected: false, output });
        Ok(())
    }

    /// Tells the arbiter what a prompt costs.
    fn correct(&mut self, index: usize) {
        let running = &mut self.running[index];
        if !std::mem::replace(&mut running.is_corrected, true) {
            self.controller.correct(&running.flow, running.charged, running.found);
        }
    }

    fn count(&mut self, flow: &FlowKey, tokens: f64) {
        let weight = Self::WEIGHTS.iter().find(|(id, _)| *id == flow.id.as_str());
        if let (Some((_, weight)), Some(got)) = (weight, self.got.get_mut(flow.id.as_str())) {
            *got += tokens / f64::from(*weight);
        }
    }
}
