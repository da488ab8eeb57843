//! The prompts and their workers, the same for every index: the conversation trace of `bench
//! replay` over eight workers.

use std::collections::{HashMap, HashSet};

const TRACE: &str = include_str!("../../replay/data/conversation.txt");

/// Number of tokens of a block of the trace.
pub(crate) const TRACE_BLOCK: usize = 512;

/// Number of tokens of a block of an engine's cache, by vLLM's default.
pub(crate) const BLOCK: usize = 16;

/// Number of workers that prompts are placed on.
pub(crate) const WORKERS: u16 = 8;

/// Interval of the prompts that go to the worker in turn, and not to the worker that holds their
/// prefix: as under load, which gives a prefix more than one holder.
const ASTRAY: usize = 4;

/// A prompt of the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) tokens: usize,
    /// Blocks of the prompt. A number stands for its block and all before it.
    pub(crate) blocks: Vec<u64>,
}

/// A prompt and its worker.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) request: Request,
    pub(crate) worker: u16,
    /// Number of tokens from its head, a multiple of [`BLOCK`], that the worker holds already.
    pub(crate) held: usize,
}

/// The prompts that an index is filled with, and then asked for.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) fill: Vec<Placed>,
    /// Prompts that come next in the trace.
    pub(crate) next: Vec<Request>,
    /// Number of pairs of worker and block of [`BLOCK`] tokens after the fill.
    pub(crate) blocks: usize,
}

impl Plan {
    /// Plans so many blocks over all workers, and so many lookups.
    pub(crate) fn of_trace(blocks: usize, lookups: usize) -> Result<Self, String> {
        let mut requests = requests(TRACE)?.into_iter();
        let mut places = Places::default();
        let mut fill = Vec::new();
        while places.blocks < blocks {
            let request = requests.next().ok_or("the trace is too short")?;
            fill.push(places.place(request));
        }
        let next: Vec<Request> = requests.take(lookups).collect();
        if next.len() < lookups {
            return Err("the trace is too short".to_owned());
        }
        Ok(Self { fill, next, blocks: places.blocks })
    }
}

/// The holders of the blocks.
#[derive(Debug, Default)]
struct Places {
    placed: usize,
    /// Last worker that got this block of the trace.
    home: HashMap<u64, u16>,
    held: HashSet<(u16, u64)>,
    blocks: usize,
}

impl Places {
    fn place(&mut self, request: Request) -> Placed {
        let turn = (self.placed % usize::from(WORKERS)) as u16;
        let home = request.blocks.iter().skip(1).rev().find_map(|block| self.home.get(block));
        let worker = home.copied().filter(|_| !self.placed.is_multiple_of(ASTRAY)).unwrap_or(turn);
        let known =
            request.blocks.iter().take_while(|block| self.held.contains(&(worker, **block)));
        let held = (known.count() * TRACE_BLOCK).min(request.tokens / BLOCK * BLOCK);
        self.blocks += (request.tokens - held) / BLOCK;
        for block in &request.blocks {
            self.home.insert(*block, worker);
            self.held.insert((worker, *block));
        }
        self.placed += 1;
        Placed { request, worker, held }
    }
}

/// Reads the trace's short form, which `replay/data/README.md` describes.
fn requests(text: &str) -> Result<Vec<Request>, String> {
    let mut fresh = 0;
    let request = |line: &str| {
        let mut words = line.split(' ').skip(1);
        let tokens = words.next()?.parse().ok()?;
        let mut blocks = Vec::new();
        for run in words.skip(1) {
            let (first, last) = run.split_once('-').unwrap_or((run, run));
            blocks.extend(first.parse::<u64>().ok()?..=last.parse::<u64>().ok()?);
        }
        while blocks.len() < usize::div_ceil(tokens, TRACE_BLOCK) {
            blocks.push(fresh);
            fresh += 1;
        }
        Some(Request { tokens, blocks })
    };
    let read: Option<Vec<Request>> = text.lines().map(request).collect();
    read.ok_or_else(|| "a bad line in the trace".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_trace_is_read() {
        let requests = requests(TRACE).unwrap();
        let tokens: usize = requests.iter().map(|request| request.tokens).sum();
        assert_eq!((requests.len(), tokens / requests.len()), (12_031, 12_035));
    }

    #[test]
    fn a_block_counts_once_for_each_worker_that_has_it() {
        let mut places = Places::default();
        let request = Request { tokens: 1_030, blocks: vec![0, 1, 2] };
        let held: Vec<usize> = (0..3).map(|_| places.place(request.clone()).held).collect();
        assert_eq!(held, [0, 1_024, 1_024]);
        assert_eq!(places.blocks, 64);
    }
}
