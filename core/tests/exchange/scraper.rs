//! Scrapers, and the network between them and the gateways.

use std::collections::BTreeMap;

use picker_core::{
    Instant,
    exchange::{ExchangeHub, GatewayId, GatewayPart, GatewayReport},
};

/// A scraper with its exchange. By the address of a gateway it knows the id that the gateway has said.
pub(crate) struct Scraper {
    pub(crate) epoch: u64,
    pub(crate) hub: ExchangeHub,
    ids: BTreeMap<usize, GatewayId>,
}

/// A message on its way.
#[derive(Clone)]
pub(crate) enum Message {
    /// A push to the gateway at this address.
    Push { address: usize, from: u64, part: Box<GatewayPart> },
    /// The reply of the gateway at this address to the scraper of an epoch.
    Reply { address: usize, to: u64, report: Box<GatewayReport> },
}

impl Scraper {
    pub(crate) fn new(epoch: u64) -> Self {
        Self { epoch, hub: ExchangeHub::new(epoch), ids: BTreeMap::new() }
    }

    /// Makes a push for each of these gateways.
    pub(crate) fn push(&mut self, now: Instant, addresses: &[usize]) -> Vec<Message> {
        self.ids.retain(|address, _| addresses.contains(address));
        self.hub.expect(addresses.len());
        let push = |address: &usize| {
            let id = self.ids.get(address).copied().unwrap_or_default();
            let part = Box::new(self.hub.part(now, id));
            Message::Push { address: *address, from: self.epoch, part }
        };
        addresses.iter().map(push).collect()
    }

    pub(crate) fn hear(&mut self, now: Instant, address: usize, report: GatewayReport) {
        let id = report.gateway;
        if self.hub.report(now, report).is_ok() {
            self.ids.insert(address, id);
        }
    }
}
