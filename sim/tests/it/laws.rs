//! What holds of the engine whatever comes, over random scripts.

use std::{collections::BTreeMap, time::Duration};

use arbtest::arbitrary::{Result, Unstructured};
use sim::engine_core::{Chain, Config, Cost, Effect, EngineCore, Request, RequestId};

/// Events in a script.
const EVENTS: usize = 60;

fn config(u: &mut Unstructured<'_>) -> Result<Config> {
    let block_tokens = u.int_in_range(1..=8)?;
    let max_model_tokens = u.int_in_range(8..=64)?;
    // The least that holds one request, and a little more: blocks do run out.
    let blocks = 1 + max_model_tokens / block_tokens + 1 + u.int_in_range(0..=16)?;
    let cost = if u.ratio(1, 4)? { Cost::FREE } else { Cost::CPU };
    Ok(Config {
        block_tokens,
        blocks,
        max_running: u.int_in_range(1..=6)?,
        max_step_tokens: u.int_in_range(1..=40)?,
        max_model_tokens,
        max_adapters: u.int_in_range(1..=2)?,
        cost,
    })
}

fn request(u: &mut Unstructured<'_>, config: &Config) -> Result<Request> {
    let length = u.int_in_range(1..=config.max_model_tokens - 1)?;
    // Few beginnings, so that prefixes are shared.
    let kind: u32 = u.int_in_range(0..=2)?;
    let shared = u.int_in_range(0..=length)?;
    let adapter = *u.choose(&[None, None, Some("a"), Some("b"), Some("c")])?;
    let mut prompt = Chain::new(config.block_tokens, adapter.unwrap_or_default());
    for i in 0..length {
        prompt.push(if i < shared { kind } else { u.int_in_range(0..=9)? });
    }
    Ok(Request {
        prompt,
        max_tokens: u.int_in_range(1..=30)?,
        stop_after: if u.ratio(1, 3)? { Some(u.int_in_range(1..=10)?) } else { None },
        priority: u.int_in_range(-1..=1)?,
        adapter: adapter.map(str::to_owned),
        is_received: u.ratio(1, 4)?,
    })
}

fn check(core: &EngineCore, config: &Config) {
    assert_eq!(core.pool().free() + core.pool().live(), core.pool().total());
    assert!(core.in_flight().0 <= config.max_running);
    let work = core.last_work();
    let tokens = usize::try_from(work.prefill_tokens + work.decodes).unwrap();
    assert!(tokens <= config.max_step_tokens);
    assert!(core.due().is_none() || tokens > 0, "a step without work");
    assert!(core.due().is_none() || core.in_flight().0 > 0, "a step for nobody");
}

/// Plays a random script to its end and returns all effects.
fn play(u: &mut Unstructured<'_>) -> Result<Vec<Effect>> {
    let config = config(u)?;
    let mut core = EngineCore::new(config.clone());
    let (mut now, mut trace, mut asked) = (Duration::ZERO, Vec::new(), BTreeMap::new());
    for id in 1..=EVENTS as u64 {
        now += Duration::from_millis(u.int_in_range(0..=40)?);
        match u.int_in_range(0..=9)? {
            0 => core.leave(now, RequestId(u.int_in_range(1..=id)?), &mut trace),
            1 => core.pause(now, u.arbitrary()?, &mut trace),
            2 | 3 => core.advance(now, &mut trace),
            _ => {
                let request = request(u, &config)?;
                asked.insert(RequestId(id), request.prompt.tokens());
                core.arrive(now, RequestId(id), request, &mut trace);
            }
        }
        check(&core, &config);
    }
    core.pause(now, false, &mut trace);
    while let Some(due) = core.due() {
        core.advance(due, &mut trace);
        check(&core, &config);
    }
    assert_eq!(core.in_flight(), (0, 0), "an idle engine still holds requests");
    assert_eq!(core.pool().live(), 0, "an idle engine still holds blocks");
    ends(&trace, &asked);
    Ok(trace)
}

/// Every request ends once, after as many tokens as its usage says, with a hit that leaves at least
/// the last token of its prompt to compute.
fn ends(trace: &[Effect], asked: &BTreeMap<RequestId, usize>) {
    let mut tokens: BTreeMap<RequestId, usize> = BTreeMap::new();
    let mut ended = BTreeMap::new();
    for effect in trace {
        match effect {
            Effect::Token { id, .. } => {
                assert!(!ended.contains_key(id), "{id:?} got a token after its end");
                *tokens.entry(*id).or_default() += 1;
            }
            Effect::End(id, _, usage) => {
                assert!(ended.insert(*id, ()).is_none(), "{id:?} ended twice");
                assert_eq!(usage.generated, tokens.get(id).copied().unwrap_or(0));
                assert_eq!(usage.prompt, asked[id]);
                assert!(usage.cached < usage.prompt, "{id:?} computed nothing");
            }
        }
    }
    assert_eq!(ended.len(), asked.len(), "a request without an end");
}

#[test]
fn whatever_comes_the_laws_hold() {
    arbtest::arbtest(|u| play(u).map(drop)).budget_ms(2_000);
}

#[test]
fn the_same_script_has_the_same_trace() {
    arbtest::arbtest(|u| {
        let script: Vec<u8> = u.arbitrary()?;
        let trace = || play(&mut Unstructured::new(&script)).ok();
        assert_eq!(trace(), trace());
        Ok(())
    })
    .budget_ms(500);
}

/// A prompt that another engine computed takes room at once, and the time of one token.
#[test]
fn a_received_prompt_is_not_computed_again() {
    let config = Config {
        block_tokens: 8,
        blocks: 65,
        max_running: 4,
        max_step_tokens: 64,
        max_model_tokens: 512,
        max_adapters: 0,
        cost: Cost::CPU,
    };
    let mut prompt = Chain::new(8, "");
    (0..256).for_each(|token| prompt.push(token));
    let first_token = |is_received| {
        let mut core = EngineCore::new(config.clone());
        let mut trace = Vec::new();
        let request = Request {
            prompt: prompt.clone(),
            max_tokens: 1,
            stop_after: None,
            priority: 0,
            adapter: None,
            is_received,
        };
        core.arrive(Duration::ZERO, RequestId(1), request, &mut trace);
        let live = core.pool().live();
        let mut at = Duration::ZERO;
        while let Some(due) = core.due() {
            core.advance(due, &mut trace);
            at = due;
        }
        (live, core.last_work().prefill_tokens, at)
    };
    let ((computed, last, slow), (received, one, fast)) = (first_token(false), first_token(true));
    assert_eq!((computed, last), (8, 64), "a chunk of 64 tokens");
    assert_eq!((received, one), (32, 1), "all 256 tokens, of which one is computed");
    assert!(fast * 4 < slow, "{fast:?}, {slow:?}");
}
