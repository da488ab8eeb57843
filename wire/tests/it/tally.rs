//! Counts on their way from workers to a scraper, whatever is lost on the way.

use std::collections::BTreeMap;

use arbtest::arbitrary::{Result, Unstructured};
use wire::{
    reply::{COUNTS_BYTES_MAX, Counts, Have, REPLY_BYTES_MAX, Reply, Sessions, WorkerState},
    tally::{Head, LabelSet, Labels, Measure, WorkerTally, chunk},
};

/// One gateway: workers, what they have written, and what each of its VMs knows of the scraper.
#[derive(Default)]
struct Gateway {
    workers: BTreeMap<u64, WorkerTally>,
    heads: BTreeMap<u64, Head>,
    chunks: BTreeMap<(u64, u32), Vec<u8>>,
    sessions: [Sessions; 2],
    drawn: u64,
}

impl Gateway {
    fn flush(&mut self, epoch: u64, max: usize) {
        let Some(tally) = self.workers.get_mut(&epoch) else { return };
        for (number, bytes) in tally.flush(max) {
            assert!(bytes.len() <= chunk::BYTES_MAX);
            self.chunks.insert((epoch, number), bytes);
        }
        let versions = tally.versions().to_vec();
        self.heads.insert(epoch, Head { versions, ..Head::default() });
    }

    fn reply(&mut self, vm: usize, have: Option<Have>, chunks_max: usize) -> Reply {
        self.drawn += 1;
        let session = &mut self.sessions[vm];
        let wanted = session.wanted(have, self.drawn << 1 | vm as u64, &self.heads);
        let state = |epoch: &u64| WorkerState {
            epoch: *epoch,
            is_alive: true,
            saturation: None,
            indexed: 0,
        };
        let workers = self.heads.keys().map(state).collect();
        let mut counts = Counts { workers, ..Counts::default() };
        let mut told = Vec::new();
        for wanted in wanted.into_iter().take(chunks_max) {
            let worker = self.heads.keys().position(|epoch| *epoch == wanted.epoch).unwrap();
            let bytes = &self.chunks[&(wanted.epoch, wanted.chunk)];
            assert!(counts.add_chunk(u32::try_from(worker).unwrap(), bytes, wanted.since));
            told.push(wanted);
        }
        counts.have = session.told(told);
        let reply = Reply { counts, ..Reply::default() };
        Reply::decode(&reply.encode().unwrap()).unwrap()
    }
}

/// The scraper: the newest of each label set of each epoch.
#[derive(Default)]
struct Scraper {
    have: Option<Have>,
    sets: BTreeMap<(u64, Labels<'static>), LabelSet<'static>>,
}

impl Scraper {
    fn take(&mut self, reply: &Reply) {
        self.have = Some(reply.counts.have);
        for (worker, bytes) in &reply.counts.sets {
            let epoch = reply.counts.workers[usize::try_from(*worker).unwrap()].epoch;
            let set = LabelSet::decode(bytes).unwrap().into_owned();
            self.sets.insert((epoch, set.labels.clone()), set);
        }
    }

    fn requests(&self) -> u64 {
        let counts = self.sets.values().filter_map(|set| set.count(Measure::Requests));
        counts.map(|count| count.sum).sum()
    }
}

fn step(u: &mut Unstructured<'_>, gateway: &mut Gateway, scraper: &mut Scraper) -> Result<u64> {
    let epoch = u.int_in_range(1..=3)?;
    match u.int_in_range(0..=9)? {
        0..=4 => {
            let model = u.int_in_range(0..=40)?.to_string();
            let tally = gateway.workers.entry(epoch).or_default();
            let set = tally.place(&Labels::request(&model, &model, "t", 0), u.arbitrary()?);
            tally.add(set, Measure::Requests, 1);
            tally.add(set, Measure::Duration, u.int_in_range(0..=4_000_000_000)?);
            return Ok(1);
        }
        5 | 6 => gateway.flush(epoch, u.int_in_range(0..=3)?),
        7 => *scraper = Scraper::default(),
        _ => {
            let (vm, chunks) = (u.int_in_range(0..=1)?, u.int_in_range(0..=4)?);
            let reply = gateway.reply(vm, scraper.have, chunks);
            let is_lost: bool = u.arbitrary()?;
            if !is_lost {
                scraper.take(&reply);
            }
        }
    }
    Ok(0)
}

#[test]
fn in_the_end_the_scraper_has_what_was_counted() {
    let mut most = 0;
    arbtest::arbtest(|u| {
        let (mut gateway, mut scraper) = (Gateway::default(), Scraper::default());
        let mut counted = 0;
        while !u.is_empty() {
            counted += step(u, &mut gateway, &mut scraper)?;
        }
        for epoch in 1..=3 {
            (0..9).for_each(|_| gateway.flush(epoch, usize::MAX));
        }
        for _ in 0..2 {
            let reply = gateway.reply(0, scraper.have, usize::MAX);
            scraper.take(&reply);
        }
        assert_eq!(scraper.requests(), counted);
        most = most.max(counted);
        assert_eq!(gateway.reply(0, scraper.have, usize::MAX).counts.sets, [], "nothing is new");
        Ok(())
    })
    .budget_ms(2_000);
    assert!(most > 10, "{most} requests at most");
}

/// The bytes of a reply are bounded, and a worker's label sets at their longest still fit.
#[test]
fn a_full_worker_is_told_in_bounded_replies() {
    let mut gateway = Gateway::default();
    let tally = gateway.workers.entry(1).or_default();
    for number in 0..2_000 {
        let name = format!("{number:0>200}");
        let labels = Labels::request(&name, &name, &name, number);
        let set = tally.place(&labels, true);
        for (measure, value) in [
            (Measure::Duration, u64::from(u32::MAX)),
            (Measure::Ttft { streaming: true }, 120_000_001),
            (Measure::RequestBytes, 1 << 31),
            (Measure::InputTokens, 1 << 21),
        ] {
            tally.add(set, measure, value);
        }
        tally.add(set, Measure::Requests, 1);
    }
    gateway.flush(1, usize::MAX);
    let mut scraper = Scraper::default();
    let mut replies = 0;
    while scraper.requests() < 2_000 {
        let wanted = gateway.sessions[0].wanted(scraper.have, 1, &gateway.heads);
        let mut counts = Counts { workers: Vec::new(), ..Counts::default() };
        let mut told = Vec::new();
        for wanted in wanted {
            let bytes = &gateway.chunks[&(wanted.epoch, wanted.chunk)];
            if !counts.add_chunk(0, bytes, wanted.since) {
                break;
            }
            told.push(wanted);
        }
        counts.workers.push(WorkerState { epoch: 1, is_alive: true, saturation: None, indexed: 0 });
        counts.have = gateway.sessions[0].told(told);
        let reply = Reply { counts, ..Reply::default() };
        let bytes = reply.encode().unwrap();
        assert!(bytes.len() <= COUNTS_BYTES_MAX + 1_024 && bytes.len() <= REPLY_BYTES_MAX);
        scraper.take(&Reply::decode(&bytes).unwrap());
        replies += 1;
        assert!(replies < 20, "{} requests told", scraper.requests());
    }
}
