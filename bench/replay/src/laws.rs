//! Laws of every replay, whatever the policy.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{bound, fleet::Role, policy::Contender, study::Scenario, trace::Trace};

const REQUESTS: usize = 300;

#[test]
fn every_request_is_served_once_and_whole() {
    let small = Scenario::small(REQUESTS).unwrap();
    for contender in Contender::ALL {
        let outcome = small.outcome(contender);
        for (request, served) in small.trace.requests.iter().zip(&outcome.served) {
            assert_eq!(
                (served.ends, served.tokens),
                (1, request.answer),
                "{contender:?}: {request:?}"
            );
        }
        let prompts: usize = small.trace.requests.iter().map(|request| request.prompt).sum();
        let cached: usize = outcome.served.iter().map(|served| served.cached).sum();
        let computed: u64 = outcome.computed.iter().sum();
        assert_eq!(
            computed,
            (prompts - cached) as u64,
            "{contender:?}: a token is computed or cached"
        );
    }
}

/// A closed loop of the comparison, short enough for a test in a debug build.
fn short_loop(name: &str, seconds: u64) -> Scenario {
    let mut closed = Scenario::closed_loop(name).unwrap();
    let window = closed.trace.window.as_mut().unwrap();
    window.until = window.from + Duration::from_secs(seconds);
    closed
}

#[test]
fn a_client_sends_its_next_request_after_its_last_answer_and_none_after_the_end() {
    let closed = short_loop("one prefix, 48 clients", 6);
    let until = closed.trace.window.unwrap().until;
    for contender in [Contender::Random, Contender::PickerTtft] {
        let served = closed.outcome(contender).served;
        let sent = served.iter().filter(|it| it.due.is_some()).count();
        assert!(sent > 2 * 48, "{contender:?}: {sent} requests of 48 clients");
        let follow_ups = closed.trace.follow_ups.iter();
        for (before, next) in
            follow_ups.flat_map(|(it, all)| all.iter().map(move |next| (it, next)))
        {
            let (before, after) = (served[*before], served[next.request]);
            match after.due {
                Some(due) => {
                    assert!(due >= before.last.unwrap() + next.pause && due < until, "{after:?}");
                    assert_eq!(after.ends, 1);
                }
                None => assert_eq!((after.ends, after.tokens), (0, 0)),
            }
        }
    }
}

/// The reason why the first token and not the headers ends a prompt's place in the ledger.
#[test]
fn headers_taken_for_a_first_token_cost_time() {
    let spread = Scenario::spread_for_test(1_500).unwrap();
    let [told_late, told_early] = [Contender::PickerTtft, Contender::PickerByHeaders]
        .map(|contender| spread.replay(contender).ttft_mean);
    assert!(told_early > 1.1 * told_late, "{told_early} s by headers, {told_late} s without");
}

/// A prefix that all ask for is no reason to leave any pod idle.
#[test]
fn one_hot_prefix_is_served_as_fast_as_by_chance() {
    let closed = short_loop("one prefix, 48 clients", 10);
    let [random, ours] =
        [Contender::Random, Contender::PickerTtft].map(|contender| closed.replay(contender).rate);
    assert!(ours >= random, "{ours} requests a second, {random} by chance");
}

/// Where the caches just hold each prefix once, a copy costs the pod another prefix.
#[test]
fn tight_caches_are_used_as_well_as_by_stickiness_alone() {
    let tight = Scenario::tight("40 prefixes, 30/s", 3_000).unwrap();
    let [sticky, ours] =
        [Contender::LlmDBlend, Contender::PickerTtft].map(|contender| tight.replay(contender).rate);
    assert!(ours >= 0.95 * sticky, "{ours} requests a second, {sticky} by llm-d 3,2,2");
}

/// Sessions that begin together stay where their first turns went: a pod that is left out then has nothing to do
/// while another one loses their prefixes.
#[test]
fn sessions_that_begin_together_are_shared_out() {
    let agents = Scenario::first_turns_of_agents(3);
    let served = agents.outcome(Contender::PickerTtft).served;
    let mut sessions = [0; 8];
    let last_turns = served.chunks(3).filter_map(|turns| turns.iter().rfind(|it| it.due.is_some()));
    last_turns.for_each(|turn| sessions[turn.pod] += 1);
    let [least, most] = [sessions.iter().min(), sessions.iter().max()].map(Option::unwrap);
    assert_eq!(sessions.iter().sum::<usize>(), 32);
    assert!(*least >= 2 && *most <= 6, "{sessions:?}");
}

/// Requests for one adapter meet where it runs, and an adapter that most ask for is not held to one pod.
#[test]
fn adapters_do_not_wait_for_each_other() {
    for name in ["LoRA", "LoRA, one hot"] {
        let closed = short_loop(name, 10);
        let [random, ours] = [Contender::Random, Contender::PickerTtft]
            .map(|contender| closed.replay(contender).ttft_mean);
        assert!(ours < 0.6 * random, "{name}: {ours} s, {random} by chance");
    }
}

#[test]
fn one_pod_computes_a_prompt_and_another_answers() {
    let apart = short_loop("P/D", 4);
    let roles = apart.roles();
    for contender in
        [Contender::Random, Contender::Dynamo, Contender::Picker, Contender::PickerTtft]
    {
        let outcome = apart.outcome(contender);
        let sent: Vec<_> = outcome.served.iter().filter(|it| it.due.is_some()).collect();
        assert!(sent.len() > 80, "{contender:?}: {} requests", sent.len());
        assert!(sent.iter().all(|it| it.ends == 1 && roles[it.pod] == Role::Decode));
        let computed = |role| -> u64 {
            let of_role = roles.iter().zip(&outcome.computed).filter(|(it, _)| **it == role);
            of_role.map(|(_, tokens)| tokens).sum()
        };
        let last_tokens = computed(Role::Decode);
        assert!(last_tokens < sent.len() as u64 * 600, "{contender:?}: {last_tokens} tokens");
        assert!(computed(Role::Prefill) > 20 * last_tokens, "{contender:?}");
    }
}

#[test]
fn no_policy_finds_more_than_was_there() {
    let small = Scenario::small(REQUESTS).unwrap();
    let most = bound::hit(&small.trace, usize::MAX);
    let prompts: usize = small.trace.requests.iter().map(|request| request.prompt).sum();
    for contender in Contender::ALL {
        let cached: usize =
            small.outcome(contender).served.iter().map(|served| served.cached).sum();
        assert!(cached as f64 / prompts as f64 <= most, "{contender:?}");
    }
}

#[test]
fn a_larger_cache_finds_no_less() {
    let trace = Trace::conversation().unwrap().first(3_000);
    let hits = [100, 1_000, 10_000, usize::MAX].map(|blocks| bound::hit(&trace, blocks));
    assert!(hits.is_sorted(), "{hits:?}");
    assert!(hits[0] < hits[3]);
}

#[test]
fn the_same_seed_gives_the_same_transcript() {
    let small = Scenario::small(REQUESTS).unwrap();
    for contender in Contender::ALL {
        assert_eq!(
            small.outcome(contender).served,
            small.outcome(contender).served,
            "{contender:?}"
        );
    }
}

/// The bench's own point, at a size that a test can afford: affinity pays, and herding does not.
#[test]
fn knowing_caches_and_queues_beats_knowing_neither() {
    let small = Scenario::small(2_000).unwrap();
    let [blind, sighted] = [Contender::RoundRobin, Contender::PickerTtft].map(|contender| {
        crate::figures::Figures::from_outcome(&small.trace, &small.outcome(contender))
    });
    assert!(sighted.hit > 1.5 * blind.hit, "{sighted:?} against {blind:?}");
    assert!(sighted.ttft_mean < 0.8 * blind.ttft_mean, "{sighted:?} against {blind:?}");
}

/// Parts of a worker that only the crate of decisions puts together: a replay that names one of them has
/// begun to compose its own worker, which is not the one that ships.
const PARTS_OF_A_WORKER: [&str; 10] = [
    "Accounts",
    "EventKind",
    "Ledger",
    "RING_ENTRIES",
    "RingEntry",
    "Scheduler",
    "Target",
    "Ticket",
    "WorkerPeer",
    "Written",
];

#[test]
fn the_replay_composes_no_worker_of_its_own() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let names = |text: &str, part: &str| {
        text.split(|c: char| c != '_' && !c.is_alphanumeric()).any(|word| word == part)
    };
    for file in sources(&here) {
        // This file has to name what it forbids.
        if file.ends_with("src/laws.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let found: Vec<_> = PARTS_OF_A_WORKER.iter().filter(|part| names(&text, part)).collect();
        assert!(found.is_empty(), "{} names {found:?}; use `Worker` and `turn`", file.display());
    }
    let picker = ["picker.rs", "picker/store.rs"].map(|file| fs::read_to_string(here.join(file)));
    let [picker, store] = picker.map(Result::unwrap);
    assert!(names(&picker, "Worker") && names(&store, "turn") && names(&store, "MemoryStore"));
}

/// All Rust files in a folder and the folders in it.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
    found
}
