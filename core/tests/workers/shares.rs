//! The tenants' shares of the pool, and by how much they may differ.

use std::collections::{BTreeMap, BTreeSet};

use picker_core::{
    flow::{FairnessPolicy, FlowKey, Ticket, TokenCost},
    worker::Effect,
    workers::Message,
};

use crate::{pool::PROMPT_MAX, request::OUTPUT_MAX};

/// The service of each tenant, and of each two of them since when they have both been waiting.
pub(crate) struct Shares {
    rule: Rule,
    got: BTreeMap<FlowKey, i64>,
    /// The service that each had got when the two began to wait at once.
    pairs: BTreeMap<(FlowKey, FlowKey), (i64, i64)>,
    /// Tokens of which the arbiter does not know yet that they were used, or that they were not.
    untold: BTreeMap<FlowKey, i64>,
    most_untold: i64,
}

enum Rule {
    None,
    /// Turns differ by one at most.
    Turns,
    /// Tokens over weights differ by what `TokenCost` says.
    Tokens(TokenCost),
}

impl Rule {
    fn of(fairness: &FairnessPolicy) -> Self {
        match fairness {
            FairnessPolicy::GlobalStrict => Self::None,
            FairnessPolicy::RoundRobin => Self::Turns,
            FairnessPolicy::TokenFair(cost) => Self::Tokens(cost.clone()),
        }
    }
}

/// In parts of a token that all weights divide.
const PARTS: i64 = 4;

/// The most that a prompt and an answer cost.
const PROMPT: i64 = PROMPT_MAX as i64;
const OUTPUT: i64 = 2 * OUTPUT_MAX as i64;

impl Shares {
    pub(crate) fn of(fairness: &FairnessPolicy) -> Self {
        let rule = Rule::of(fairness);
        let (got, pairs, untold) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { rule, got, pairs, untold, most_untold: 0 }
    }

    /// Another policy counts from now on. What is not told yet stays so.
    pub(crate) fn go_by(&mut self, fairness: &FairnessPolicy) {
        self.rule = Rule::of(fairness);
        self.begin_anew();
    }

    /// Compares no longer what tenants got before.
    pub(crate) fn begin_anew(&mut self) {
        self.pairs.clear();
        self.most_untold = self.untold.values().copied().max().unwrap_or(0);
    }

    /// Counts what was granted; in the other flows requests wait still.
    pub(crate) fn granted(&mut self, granted: &[Ticket], waiting: &BTreeSet<FlowKey>) {
        for ticket in granted {
            match &self.rule {
                Rule::None => (),
                Rule::Turns => *self.got.entry(ticket.flow.clone()).or_default() += 1,
                Rule::Tokens(_) => {
                    self.serve(&ticket.flow, ticket.uncached_tokens.max(1).into());
                }
            }
            self.owe(&ticket.flow, PROMPT + OUTPUT);
        }
        self.pairs.retain(|(one, other), _| waiting.contains(one) && waiting.contains(other));
        let of_band =
            |one: &FlowKey, other: &FlowKey| one.priority == other.priority && one < other;
        for one in waiting {
            for other in waiting.iter().filter(|other| of_band(one, other)) {
                let now = (self.got(one), self.got(other));
                self.pairs.entry((one.clone(), other.clone())).or_insert(now);
            }
        }
        self.hold();
    }

    /// A request goes without having been granted anything: its prompt is free, its answer is not.
    pub(crate) fn passed(&mut self, flow: &FlowKey) {
        self.owe(flow, OUTPUT);
    }

    /// A granted request goes to where it costs so much, and not what its ticket said; or nowhere.
    pub(crate) fn found(&mut self, ticket: &Ticket, uncached: Option<u32>, effects: &[Effect]) {
        let cost = |tokens: u32| i64::from(tokens.max(1));
        let found = cost(uncached.unwrap_or(0));
        self.serve(&ticket.flow, found - cost(ticket.uncached_tokens));
        let corrects = |effect: &Effect| matches!(effect, Effect::Send(envelope) if matches!(envelope.message, Message::Correct { .. }));
        if !effects.iter().any(corrects) {
            self.owe(&ticket.flow, -PROMPT);
        }
        // What was expected of the answer is taken back.
        let forgives = |effect: &Effect| matches!(effect, Effect::Send(envelope) if matches!(envelope.message, Message::Charge { .. }));
        if uncached.is_none() && !effects.iter().any(forgives) {
            self.owe(&ticket.flow, -OUTPUT);
        }
    }

    /// A granted request was gone; its tenant is charged as it was granted.
    pub(crate) fn gone(&mut self, ticket: &Ticket) {
        self.serve(&ticket.flow, i64::from(2 * ticket.output_tokens));
        self.owe(&ticket.flow, -PROMPT - OUTPUT);
    }

    /// An answer was that long. `told` if the arbiter will hear of it.
    pub(crate) fn answered(&mut self, flow: &FlowKey, output: u32, told: bool) {
        self.serve(flow, i64::from(2 * output));
        if !told {
            self.owe(flow, -OUTPUT);
        }
    }

    /// The arbiter hears of an answer.
    pub(crate) fn charged(&mut self, flow: &FlowKey) {
        self.owe(flow, -OUTPUT);
    }

    /// The arbiter hears of a prompt.
    pub(crate) fn corrected(&mut self, flow: &FlowKey) {
        self.owe(flow, -PROMPT);
    }

    /// All has been heard: nothing is untold but the answers to these.
    pub(crate) fn recount<'a>(&mut self, running: impl Iterator<Item = &'a FlowKey>) {
        self.untold.clear();
        running.for_each(|flow| self.owe(flow, OUTPUT));
    }

    fn got(&self, flow: &FlowKey) -> i64 {
        self.got.get(flow).copied().unwrap_or(0)
    }

    fn serve(&mut self, flow: &FlowKey, tokens: i64) {
        if let Rule::Tokens(_) = self.rule {
            *self.got.entry(flow.clone()).or_default() += self.weighed(flow, tokens);
        }
    }

    fn owe(&mut self, flow: &FlowKey, tokens: i64) {
        let untold = self.untold.entry(flow.clone()).or_default();
        *untold += tokens;
        self.most_untold = self.most_untold.max(*untold);
    }

    fn weighed(&self, flow: &FlowKey, tokens: i64) -> i64 {
        let Rule::Tokens(cost) = &self.rule else { return tokens };
        let weight = cost.weights.get(&flow.id).map_or(1, |weight| i64::from(weight.0.get()));
        tokens * PARTS / weight
    }

    fn hold(&self) {
        let bound = match self.rule {
            Rule::None => return,
            Rule::Turns => 1,
            Rule::Tokens(_) => 2 * PARTS * self.most_untold.max(PROMPT),
        };
        for ((one, other), (of_one, of_other)) in &self.pairs {
            let difference = (self.got(one) - of_one) - (self.got(other) - of_other);
            assert!(difference.abs() <= bound, "{one:?} {other:?}: {difference} over {bound}");
        }
    }
}
