//! Any input, against any state of the store.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use picker_core::{
    End, Endpoint, EventKind, Fault, Health, Incarnation, Instant, KeptName, PlacementEvent,
    RequestId, ResponseClass, ResponseStart, Role, Snapshot,
    flow::{
        Eviction, FairnessId, FairnessPolicy, FlowConfig, FlowKey, Limits, Outcome, PhaseKind,
        Priority, Ticket, TicketId, TokenCost, Ttl, UsageLimitPolicy,
    },
    ledger::{
        Account, Accounts, EndpointKey, Exchange, Heartbeat, Lease, Ledger, Member, PoolPhase, Row,
        Sheddable, WorkerId,
    },
    worker::{
        Conduct, Input, PendingRequest, RingEntry, Seen, StoredSnapshot, Version, Wants,
        WorkerConfig, Written,
    },
    workers::{Message, QueueId},
};

use crate::{
    chance::Chance,
    pool::Pool,
    request::{Asked, BANDS, Crowd},
};

/// Requests that inputs are about: few, so that many inputs are about the same one.
const REQUESTS: u32 = 12;

/// Workers that inputs name; the last of them never lived.
pub(crate) const WORKERS: u64 = 4;

/// A store in which anything may stand.
#[derive(Clone, Default)]
pub(crate) struct AnyStore {
    pub(crate) ledger: Ledger,
    pub(crate) version: u32,
    pub(crate) snapshot: Option<StoredSnapshot>,
    pub(crate) ring: BTreeMap<u64, Written>,
    pub(crate) heartbeats: BTreeMap<WorkerId, Heartbeat>,
    /// True if dice never matter: of each stage there is one endpoint at most.
    pub(crate) is_certain: bool,
}

impl AnyStore {
    pub(crate) fn read(&self, wants: &Wants) -> Seen {
        if !wants.ledger() {
            return Seen::default();
        }
        let entry = |position| {
            let written = self.ring.get(&(position % picker_core::worker::RING_ENTRIES)).cloned();
            RingEntry { position, written }
        };
        Seen {
            ledger: self.ledger.clone(),
            version: Version(Some(self.version)),
            snapshot: self.snapshot.clone().filter(|_| wants.snapshot(&self.ledger)),
            events: wants.events(&self.ledger).map(entry).collect(),
            rows: wants.rows(&self.ledger).map(|worker| self.row(worker)).collect(),
            ..Seen::default()
        }
    }

    fn row(&self, worker: WorkerId) -> Row {
        Row { worker, heartbeat: self.heartbeats.get(&worker).cloned() }
    }

    pub(crate) fn publish(&mut self, position: u64, events: Vec<PlacementEvent>) {
        let entry = Written { position, events };
        self.ring.insert(position % picker_core::worker::RING_ENTRIES, entry);
    }

    /// Something else than workers writes here.
    pub(crate) fn meddle(&mut self, chance: &mut Chance, now: Instant) {
        match chance.below(10) {
            8 | 9 => {
                self.heartbeats.insert(any_worker(chance), any_heartbeat(chance, now));
            }
            0 => *self = Self { is_certain: self.is_certain, ..Self::default() },
            1 => {
                let reason = "another version".to_owned();
                self.snapshot = Some(StoredSnapshot::Unreadable(reason));
                self.ledger.snapshots += 1;
            }
            2 | 3 => {
                let snapshot = any_snapshot(chance, self.is_certain);
                self.snapshot = Some(StoredSnapshot::Readable { snapshot, received_at: now });
                self.ledger.snapshots += 1;
            }
            4 => self.ledger.events += u64::from(chance.below(3)) * u64::from(chance.below(600)),
            5 => {
                let position = u64::from(chance.below(3)) * 1024 + self.ledger.events;
                let events = (0..chance.below(4)).map(|_| any_event(chance, now)).collect();
                self.publish(position.saturating_sub(chance.below(3).into()), events);
            }
            _ => {
                let Ledger { snapshots, events, .. } = self.ledger;
                self.ledger = Ledger { snapshots, events, ..any_ledger(chance, now) };
            }
        }
        self.version += 1;
    }
}

/// An address of an endpoint that may be there, or of none.
fn any_address(chance: &mut Chance) -> SocketAddr {
    SocketAddr::from(([10, 0, chance.below(2) as u8, 1 + chance.below(3) as u8], 8000))
}

fn any_time(chance: &mut Chance, now: Instant) -> Instant {
    let age = Duration::from_millis(chance.below(6_000).into());
    if chance.one_in(2) { now.saturating_before(age) } else { now + age }
}

fn any_snapshot(chance: &mut Chance, is_certain: bool) -> Snapshot {
    let endpoint = |chance: &mut Chance| {
        let role = chance.one_of(&["decode", "prefill", "both", "encode"]).unwrap();
        Endpoint {
            address: any_address(chance),
            health: if chance.one_in(4) { Health::Down } else { Health::Up },
            metrics: None,
            labels: vec![(Role::LABEL.to_owned(), role.to_owned())],
            incarnation: Incarnation::default(),
        }
    };
    let mut endpoints: Vec<Endpoint> = (0..chance.below(5)).map(|_| endpoint(chance)).collect();
    if is_certain {
        endpoints.truncate(2);
        for (stage, role) in [(0, "decode"), (1, "prefill")] {
            if let Some(endpoint) = endpoints.get_mut(usize::from(stage)) {
                endpoint.address = SocketAddr::from(([10, 0, stage, 1], 8000));
                endpoint.labels = vec![(Role::LABEL.to_owned(), role.to_owned())];
            }
        }
    }
    Snapshot { endpoints, ..Snapshot::default() }
}

fn any_event(chance: &mut Chance, now: Instant) -> PlacementEvent {
    let fault = Fault::Endpoint;
    let kinds = [
        EventKind::Placed,
        EventKind::Placed,
        EventKind::Withdrawn,
        EventKind::Failed(fault),
        EventKind::Broke(fault),
        EventKind::Used,
        EventKind::Served,
    ];
    let asked = Asked::any(chance, Crowd::Mixed, (RequestId(1), Priority(0)), now);
    PlacementEvent {
        at: now,
        endpoint: any_address(chance),
        chain: asked.request.chain,
        verdict: chance.one_of(&kinds).unwrap(),
    }
}

fn any_accounts(chance: &mut Chance, now: Instant) -> Accounts {
    let account = |chance: &mut Chance| Account {
        endpoint: EndpointKey::from(any_address(chance)),
        requests: 1 + chance.below(3),
        tokens: chance.below(80),
        free_at: any_time(chance, now),
        ..Account::default()
    };
    (0..chance.below(4)).map(|_| account(chance)).collect()
}

pub(crate) fn any_ledger(chance: &mut Chance, now: Instant) -> Ledger {
    let kinds = [PhaseKind::Empty, PhaseKind::Serving];
    Ledger {
        snapshots: chance.below(9).into(),
        events: chance.below(2_000).into(),
        waiting: chance.below(2) * chance.below(5),
        granted: chance.below(2) * chance.below(5),
        lease: Lease {
            holder: any_worker(chance),
            queue: QueueId(any_worker(chance).0 as u32),
            epoch: chance.below(6).into(),
            until: any_time(chance, now),
        },
        is_woken: chance.one_in(2),
        phase: PoolPhase { kind: chance.one_of(&kinds).unwrap(), since: any_time(chance, now) },
        members: (0..chance.below(4))
            .map(|_| Member { worker: any_worker(chance), changes: chance.below(3).into() })
            .collect(),
        accounts: any_accounts(chance, now),
    }
}

fn any_heartbeat(chance: &mut Chance, now: Instant) -> Heartbeat {
    Heartbeat {
        beats: chance.below(2).into(),
        changes: chance.below(3).into(),
        waiting: chance.below(4),
        accounts: any_accounts(chance, now),
        exchange: Exchange {
            epoch: chance.below(6).into(),
            submitted: chance.below(4).into(),
            granted: chance.below(4).into(),
            rejected: chance.below(4).into(),
        },
        sheddable: chance.one_in(2).then(|| Sheddable {
            requests: 1 + chance.below(3),
            priority: Priority(-1),
            sent_at: any_time(chance, now),
            queue: QueueId(any_worker(chance).0 as u32),
        }),
        ..Heartbeat::default()
    }
}

fn any_worker(chance: &mut Chance) -> WorkerId {
    WorkerId(1 + u64::from(chance.below(WORKERS as u32)))
}

fn any_request(chance: &mut Chance) -> RequestId {
    RequestId(1 + chance.below(REQUESTS))
}

fn any_flow_key(chance: &mut Chance) -> FlowKey {
    let tenant = chance.one_of(&["a", "b", "c"]).unwrap();
    FlowKey { id: FairnessId::new(tenant), priority: chance.one_of(&BANDS).unwrap() }
}

fn any_ticket(chance: &mut Chance, worker: WorkerId, now: Instant) -> Ticket {
    Ticket {
        id: TicketId { worker: worker.0, request: any_request(chance).0 },
        flow: any_flow_key(chance),
        bytes: chance.below(1_000).into(),
        prompt_tokens: chance.below(100),
        uncached_tokens: chance.below(200),
        output_tokens: chance.below(200),
        arrived: any_time(chance, now),
        ttl: chance.one_in(2).then(|| Duration::from_millis(chance.below(100).into())),
        slo_ttft: None,
    }
}

pub(crate) fn any_message(chance: &mut Chance, now: Instant) -> Message {
    let (worker, request) = (any_worker(chance), any_request(chance));
    let epoch = chance.below(6).into();
    match chance.below(12) {
        0..3 => Message::Submit {
            worker,
            reply_to: QueueId(any_worker(chance).0 as u32),
            epoch,
            again: chance.one_in(2),
            tickets: (0..chance.below(4)).map(|_| any_ticket(chance, worker, now)).collect(),
        },
        3 => Message::Cancel { worker, request },
        4 => Message::Wake,
        5 => {
            let (tokens, expected) = (chance.below(99), chance.below(99));
            Message::Charge { flow: any_flow_key(chance), tokens, expected }
        }
        6 => {
            let (charged, found) = (chance.below(200), chance.below(200));
            Message::Correct { flow: any_flow_key(chance), charged, found }
        }
        7 | 8 => {
            let requests = (0..chance.below(4)).map(|_| any_request(chance)).collect();
            Message::Grant { requests, epoch, at: any_time(chance, now) }
        }
        9 => Message::Evict {
            below: any_flow_key(chance).priority,
            reply_to: QueueId(any_worker(chance).0 as u32),
        },
        10 => Message::Evicted,
        _ => Message::Reject { request, rejection: Outcome::EvictedTtl.into(), epoch },
    }
}

fn any_start(chance: &mut Chance) -> ResponseStart {
    let failed = ResponseClass::Failed(Fault::Endpoint);
    let classes = [ResponseClass::Taken, ResponseClass::Taken, ResponseClass::Refused, failed];
    ResponseStart {
        served_by: chance.one_in(2).then(|| any_address(chance)),
        class: chance.one_of(&classes).unwrap(),
    }
}

/// Any settings, those of a pool that takes little.
fn any_conduct(chance: &mut Chance) -> Conduct {
    let all = [Conduct::FailsClosed, Conduct::FailsOpen, Conduct::Observes];
    chance.one_of(&all).unwrap()
}

pub(crate) fn any_config(chance: &mut Chance) -> WorkerConfig {
    let mut pool = Pool::any(chance, Crowd::Mixed);
    pool.narrow();
    let fairness = [
        FairnessPolicy::GlobalStrict,
        FairnessPolicy::RoundRobin,
        FairnessPolicy::TokenFair(TokenCost::default()),
    ];
    let mut flow = FlowConfig {
        limits: Limits { max_requests: chance.one_in(2).then_some(4), max_bytes: None },
        default_ttl: Ttl::Within(Duration::from_millis(chance.below(900).into())),
        displace: chance.one_in(2),
        eviction: chance.one_of(&[Eviction::Off, Eviction::Sheddable]).unwrap(),
        ..FlowConfig::default()
    };
    flow.default_band.fairness = chance.one_of(&fairness).unwrap();
    if chance.one_in(2) {
        flow.usage_limit = UsageLimitPolicy::SoftReflectiveCeiling;
    }
    WorkerConfig {
        scheduler: pool.config(),
        flow: (!chance.one_in(4)).then_some(flow),
        objectives: crate::world::all_objectives(),
        conduct: any_conduct(chance),
        ..WorkerConfig::default()
    }
}

fn any_pending(chance: &mut Chance, now: Instant) -> PendingRequest {
    let (id, flow) = (any_request(chance), any_flow_key(chance));
    Asked::any(chance, Crowd::Mixed, (id, flow.priority), now).pending(id)
}

/// Any input, about requests that there are or not, in whatever order.
pub(crate) fn any_input(chance: &mut Chance, now: Instant) -> VecDeque<Input> {
    let request = any_request(chance);
    VecDeque::from([match chance.below(32) {
        0..8 => Input::Arrived(Box::new(any_pending(chance, now))),
        8..11 => Input::Responded { request, start: any_start(chance) },
        11..15 => {
            let ends = [End::Whole, End::Broken(Fault::Endpoint), End::Gone];
            let start = chance.one_in(2).then(|| any_start(chance));
            Input::Ended { request, start, end: chance.one_of(&ends).unwrap() }
        }
        15 => {
            let (flow, tokens) = (any_flow_key(chance), chance.below(99));
            Input::Charged { request: any_request(chance), flow, tokens }
        }
        16..21 => return Input::from_message(any_message(chance, now)).into(),
        21 => Input::Arbitrate,
        22 => Input::PlacesUnused {
            places: chance.below(4),
            others: chance.one_in(2),
            epoch: chance.below(6).into(),
        },
        23..27 => Input::Tick,
        27 => Input::Look,
        28 => Input::Rerouted { request, served_by: any_address(chance) },
        29 => Input::LetGo { request },
        30 => Input::Kept { name: KeptName(chance.below(9).into()), endpoint: any_address(chance) },
        _ => Input::Configured(Box::new(any_config(chance))),
    }])
}
