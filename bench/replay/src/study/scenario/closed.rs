//! Closed loops, in which clients wait for their answers, and bursts.

use std::time::Duration;

use super::{PODS, Scenario};
use crate::{
    fleet::{Pod, Role},
    trace::{Bursts, Clients, Pause, RarePause, Sizes},
};

const SECOND: Duration = Duration::from_secs(1);
/// Pods of the simulator's default size.
const CPU_PODS: usize = 4;

/// Returns closed loops and bursts; shorter ones if `quick`.
pub(in crate::study) fn loops(quick: bool, seed: u64) -> Vec<Scenario> {
    let mut all = shared_prefix(seed);
    all.extend(bursts());
    all.extend(mixed_work(seed));
    all.extend(mixed_pods(seed));
    all.extend(conversations(seed));
    all.extend(adapters(seed));
    all.extend(agents(seed));
    all.extend([tools(seed), apart(seed)]);
    if quick {
        for it in &mut all {
            if let Some(window) = &mut it.trace.window {
                window.until = window.until.min(window.from + SECOND * 5);
            }
        }
    }
    all
}

fn cpu(max_running: usize) -> Vec<Pod> {
    vec![Pod { max_running, ..Pod::CPU }; CPU_PODS]
}

fn named(name: &str, what: &str, clients: &Clients, seed: u64) -> Scenario {
    Scenario::new(name, what, clients.trace(seed))
}

/// Returns short prompts behind one prefix: every pod soon has it, and only load is left to go by.
fn shared_prefix(seed: u64) -> Vec<Scenario> {
    let one = Clients { shared_blocks: 3, ..Clients::default() };
    let warm = Clients { warm_up: SECOND * 60, ..one.clone() };
    let more = Clients { count: 128, ..one.clone() };
    let double = Clients { count: 96, ..one.clone() };
    let large = Clients {
        count: 256,
        shared_blocks: 12,
        own: (50..=500).into(),
        answer: (50..=350).into(),
        counted: SECOND * 60,
        requests_max: 80,
        ..Clients::default()
    };
    let what = "all prompts begin with the same 1,536 tokens and end with 60 of their own";
    vec![
        named("one prefix, 48 clients", what, &one, seed).over(cpu(16)),
        named("one prefix, 48 clients, warm", "the same after a minute", &warm, seed).over(cpu(16)),
        named("one prefix, 128 clients", what, &more, seed).over(cpu(32)),
        named("one prefix, 256 clients, H100", "6,144 tokens, on 8 pods", &large, seed),
        named("one prefix, 48 clients, 2 Envoys", what, &one, seed).over(cpu(16)).behind(2),
        named("one prefix, 96 clients, 2 Envoys", what, &double, seed).over(cpu(16)).behind(2),
    ]
}

/// Returns many requests at once that begin alike.
fn bursts() -> Vec<Scenario> {
    let equal = Bursts {
        bursts: 4,
        requests: 64,
        every: SECOND * 20,
        prefix: 1_536,
        own: 60,
        answer: 32,
        is_new: false,
    };
    let siblings = Bursts {
        bursts: 12,
        requests: 51,
        every: SECOND * 10,
        prefix: 20_000,
        own: 500,
        answer: 300,
        is_new: true,
    };
    vec![
        Scenario::new("bursts of 64", "equal prompts, every 20 s", equal.trace()).over(cpu(16)),
        Scenario::new(
            "an agent's 51 helpers",
            "siblings of one prefix of 20,000 tokens at once, a new one every 10 s",
            siblings.trace(),
        ),
    ]
}

/// Returns long work beside short work.
fn mixed_work(seed: u64) -> Vec<Scenario> {
    let lasting = Clients { warm_up: SECOND * 60, counted: SECOND * 120, ..Clients::default() };
    let answers = Clients {
        own: (100..=500).into(),
        answer: Sizes::from(8..=24).with_rare(0.2, 400),
        ..lasting.clone()
    };
    let prompts = Clients {
        own: Sizes::from(40..=200).with_rare(0.1, 6_000),
        answer: (16..=64).into(),
        ..lasting.clone()
    };
    let large = Clients { own: (300..=2_500).into(), answer: (16..=112).into(), ..lasting.clone() };
    let limits = Clients {
        own: (300..=900).into(),
        answer: Sizes::from(16..=64).with_rare(0.3, 600),
        ..lasting
    };
    vec![
        named("long answers beside short", "400 tokens (20 %) beside 8 to 24", &answers, seed)
            .over(cpu(16)),
        named("long prompts beside short", "6,000 tokens (10 %) beside 40 to 200", &prompts, seed)
            .over(cpu(16)),
        named("KV for a few", "room for about 12 of up to 32 requests a pod", &large, seed)
            .over(cpu(32))
            .with_kv_tokens(20_480),
        named("mixed max_tokens", "2,048 (30 %) beside 32 to 128, in tight caches", &limits, seed)
            .over(cpu(32))
            .with_kv_tokens(12_288),
    ]
}

/// Returns pods of which one is four times as fast as the three others.
fn mixed_pods(seed: u64) -> Vec<Scenario> {
    let mut pods = cpu(16);
    if let Some(pod) = pods.first_mut() {
        pod.speed = 4.0;
    }
    let one = Clients { shared_blocks: 3, ..Clients::default() };
    let own = Clients {
        own: (200..=1_000).into(),
        answer: (16..=112).into(),
        warm_up: SECOND * 60,
        counted: SECOND * 120,
        ..Clients::default()
    };
    let what = "one of four pods is four times as fast";
    vec![
        named("mixed pods, one prefix", what, &one, seed).over(pods.clone()),
        named("mixed pods, prompts of one's own", what, &own, seed).over(pods),
    ]
}

fn conversations(seed: u64) -> Vec<Scenario> {
    let small = Clients {
        count: 60,
        own: (1..=100).into(),
        answer: (32..=64).into(),
        turns: 5,
        turn_blocks: 1,
        pause: (SECOND / 2).into(),
        counted: SECOND * 120,
        requests_max: 240,
        ..Clients::default()
    };
    let few = Clients { count: 24, ..small.clone() };
    let large = Clients {
        count: 240,
        own: (1..=500).into(),
        answer: (100..=400).into(),
        turns: 10,
        turn_blocks: 4,
        pause: (SECOND * 5).into(),
        counted: SECOND * 150,
        requests_max: 40,
        ..Clients::default()
    };
    let what = "5 turns, 512 tokens and some more each";
    vec![
        named("60 conversations", what, &small, seed).over(cpu(16)),
        named("24 conversations", what, &few, seed).over(cpu(16)),
        named("240 conversations, H100", "10 turns, about 2,300 tokens more each", &large, seed),
    ]
}

/// Returns conversations that pause for tools: mostly a moment, and long enough for their prefixes to
/// be evicted by others now and then.
fn tools(seed: u64) -> Scenario {
    let clients = Clients {
        count: 64,
        shared_blocks: 12,
        own: (1..=500).into(),
        answer: (50..=300).into(),
        turns: 20,
        turn_blocks: 2,
        pause: Pause { usual: SECOND, rare: Some(RarePause { share: 0.15, length: SECOND * 20 }) },
        warm_up: SECOND * 30,
        counted: SECOND * 120,
        requests_max: 40,
        ..Clients::default()
    };
    let what = "64 conversations of 20 turns; pauses of 1 s, or 20 s (15 %); 160,000 tokens a pod";
    let pods = vec![Pod { kv_tokens: 160_000, ..Pod::H100 }; CPU_PODS];
    named("turns with pauses for tools", what, &clients, seed).over(pods)
}

/// Returns coding agents: prompts of about 195,000 tokens in the middle, answers of about 317, tools that take a
/// moment, and now and then a person or a test run.
fn agent_clients() -> Clients {
    Clients {
        count: 32,
        // The system prompt with its tools, alike for all.
        shared_blocks: 39,
        own: (1..=4_000).into(),
        answer: (100..=534).into(),
        turns: 85,
        turn_blocks: 4,
        pause: Pause {
            usual: SECOND * 2,
            rare: Some(RarePause { share: 0.1, length: SECOND * 30 }),
        },
        // Half of a session.
        warm_up: SECOND * 420,
        counted: SECOND * 420,
        requests_max: 130,
        ..Clients::default()
    }
}

/// Returns agents that begin together, and agents that begin one after the other.
fn agents(seed: u64) -> [Scenario; 2] {
    let clients = agent_clients();
    // None begins at once with another, so that the pods' requests in flight tell nothing of the sessions
    // that they have.
    let later = Clients { begin_within: SECOND * 480, ..clients.clone() };
    let what =
        "32 sessions of 85 turns that grow from 20,000 to 370,000 tokens; 1,200,000 tokens a pod";
    let apart = "the same, of which one begins every 15 s";
    [
        named("agents", what, &clients, seed),
        named("agents, one after the other", apart, &later, seed),
    ]
    .map(|it| it.over(agent_pods()))
}

fn agent_pods() -> Vec<Pod> {
    vec![Pod { kv_tokens: 1_200_000, ..Pod::H100 }; PODS]
}

/// Returns the first turns of the agents that begin together, for tests.
#[cfg(test)]
pub(super) fn first_turns_of_agents(turns: usize, seed: u64) -> Scenario {
    let counted = SECOND * 60;
    let clients =
        Clients { warm_up: Duration::ZERO, counted, requests_max: turns, ..agent_clients() };
    named("agents' first turns", "", &clients, seed).over(agent_pods())
}

/// Returns requests for more adapters than a pod has in one batch.
fn adapters(seed: u64) -> [Scenario; 2] {
    let clients = Clients {
        own: (100..=500).into(),
        answer: (24..=64).into(),
        adapters: 6,
        warm_up: SECOND * 30,
        counted: SECOND * 120,
        ..Clients::default()
    };
    let hot = Clients { alike: 32, ..clients.clone() };
    let what = "6 adapters, of which a pod has 2 at once";
    [
        named("LoRA", what, &clients, seed),
        named("LoRA, one hot", "the same, 71 % ask for one", &hot, seed),
    ]
    .map(|it| it.over(vec![Pod { max_adapters: 2, ..Pod::CPU }; CPU_PODS]))
}

/// Returns conversations over pods of which four compute prompts and four write answers.
fn apart(seed: u64) -> Scenario {
    let clients = Clients {
        count: 80,
        own: (2_000..=6_000).into(),
        answer: (100..=350).into(),
        turns: 4,
        pause: SECOND.into(),
        warm_up: SECOND * 20,
        counted: SECOND * 100,
        requests_max: 40,
        ..Clients::default()
    };
    let mut pods = vec![Pod { role: Role::Prefill, ..Pod::H100 }; 4];
    pods.extend([Pod { role: Role::Decode, ..Pod::H100 }; 4]);
    let what = "four pods compute the prompts of 80 conversations, four write the answers";
    named("P/D", what, &clients, seed).over(pods)
}
