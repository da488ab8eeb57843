//! The exchange among the gateways of one replay, with the delay that it has over a network.

use std::{cell::RefCell, rc::Rc};

use picker_core::{
    Instant, PlacementEvent,
    exchange::{ExchangeHub, GatewayId, GatewayPart, GatewayReport, Inbox, Others, Outbox},
    worker::Effect,
};

use super::store::SharedStore;

/// A scraper's exchange, which all gateways of a replay share.
#[derive(Clone, Debug)]
pub(crate) struct Exchange(Rc<RefCell<State>>);

#[derive(Debug)]
struct State {
    hub: ExchangeHub,
    /// Time of the latest push. Reports are replies, so that no part of a push at the same time has what they say.
    pushed_at: Instant,
    replies: Vec<GatewayReport>,
}

/// A gateway's end of the exchange.
#[derive(Debug)]
pub(crate) struct ExchangeEnd {
    exchange: Exchange,
    id: GatewayId,
    reports: u64,
    outbox: Outbox,
    inbox: Inbox,
}

impl Exchange {
    /// Starts an exchange of so many gateways.
    pub(crate) fn new(gateways: usize) -> Self {
        let mut hub = ExchangeHub::new(1);
        hub.expect(gateways);
        let state = State { hub, pushed_at: Instant::default(), replies: Vec::new() };
        Self(Rc::new(RefCell::new(state)))
    }

    fn part(&self, now: Instant, gateway: GatewayId) -> GatewayPart {
        let mut state = self.0.borrow_mut();
        if state.pushed_at != now {
            let at = std::mem::replace(&mut state.pushed_at, now);
            for report in std::mem::take(&mut state.replies) {
                let taken = state.hub.report(at, report);
                debug_assert_eq!(taken, Ok(()), "nothing is lost here");
            }
        }
        state.hub.part(now, gateway)
    }
}

impl ExchangeEnd {
    pub(crate) fn new(exchange: Exchange, number: usize) -> Self {
        Self {
            exchange,
            id: GatewayId(number as u64 + 1),
            reports: 0,
            outbox: Outbox::default(),
            inbox: Inbox::default(),
        }
    }

    /// Keeps what a worker published, for the other gateways.
    pub(crate) fn tell(&mut self, events: &[PlacementEvent]) {
        let events = events.iter().cloned();
        self.outbox.push(events.filter_map(PlacementEvent::for_other_gateways));
    }

    /// Takes the part of a push, and replies to it. Returns the effects on the gateway.
    pub(crate) fn push(&mut self, now: Instant, store: &mut SharedStore) -> Vec<Effect> {
        let mut part = self.exchange.part(now, self.id);
        self.outbox.acknowledge(part.next_event);
        let events = self.inbox.take(std::mem::take(&mut part.events));
        let others = Others::after(store.others(), self.id, part, now);
        let effects = others.map(|others| store.store_others(now, others, events));
        self.reports += 1;
        let report = GatewayReport {
            gateway: self.id,
            number: self.reports,
            events: self.outbox.batch(),
            next_event: self.inbox.next(),
            ..store.report(now)
        };
        self.exchange.0.borrow_mut().replies.push(report);
        effects.unwrap_or_default()
    }
}
