//! Stories: a script of events in, a transcript of effects out.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use std::{net::SocketAddr, time::Duration};

use picker_core::{
    BLOCK_BYTES, CacheConfig, Chain, Chainer, Config, End, Endpoint, Event, EventKind, Fault,
    Health, Incarnation, InferenceRequest, Instant, Metrics, Objective, PlacementEvent, Profile,
    Randomness, RequestId, ResponseClass, Scheduler, SchedulingResult, Seed, Snapshot,
    flow::Priority, ledger::Ledger,
};

/// Returns the single place that knows the engine's API. A line of script is a time in ms and one of
/// - `pool A B:w3 C:k50 D:down E:old9000 F:blind G:c2`: a snapshot; per endpoint the number
///   waiting, KV-cache usage in percent, age of the metrics in ms, none at all, capacity in blocks
/// - `pool A paid=10`: a snapshot with an objective
/// - `priority paid`: what that is worth
/// - `ask 1 aab`: request 1 arrives with a block of a, one more, one of b; `-` for no prompt
/// - `ok 1`, `fail 1`: its answer begins, it fails
/// - `end 1`, `break 1`, `leave 1`: it is over: all of its answer came, that broke off, its client left
/// - `hear A aab`, `unhear A aab`, `use A aab`: another worker placed this, withdrew this, had it answered whole
#[track_caller]
fn tell(script: &str) -> String {
    let mut scheduler = Scheduler::new(of_the_epp(), Randomness::from_seed(1));
    let mut transcript = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (ms, words) = line.split_once(' ').unwrap();
        let now = Instant::from_nanos(ms.parse::<u64>().unwrap() * 1_000_000);
        let told = match *words.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["ask", id, prompt] => ask(&mut scheduler, now, (id, prompt)),
            ["priority", name] => vec![format!("{:?}", scheduler.objective(name))],
            _ => scheduler.handle(event(now, words)).iter().map(show).collect(),
        };
        let arrow = if told.is_empty() { "" } else { " => " };
        transcript.push_str(&format!("{line}{arrow}{}\n", told.join("; ")));
    }
    transcript
}

/// Returns the EPP's scorers, of which the scores can be followed by eye.
fn of_the_epp() -> Config {
    Config { scheduling: Profile::of_the_epp().into(), ..Config::default() }
}

/// Returns a request that is decided and sent at once, as it is while nothing else is in flight.
fn ask(scheduler: &mut Scheduler, now: Instant, (id, prompt): (&str, &str)) -> Vec<String> {
    let ask = InferenceRequest { chain: chain(prompt), ..InferenceRequest::default() };
    let decision = match scheduler.decide(now, &ask, &Ledger::default()) {
        Ok(decision) => decision,
        Err(why) => return vec![format!("{id} refused: {why}")],
    };
    let request = RequestId(id.parse().unwrap());
    let sent = format!("{id} to {}", describe(&decision));
    let notes = scheduler.handle(Event::Sent { request, at: now, ask, decision });
    [sent].into_iter().chain(notes.iter().map(show)).collect()
}

fn event(now: Instant, words: &str) -> Event {
    let words: Vec<&str> = words.split_whitespace().collect();
    let request = |id: &str| RequestId(id.parse().unwrap());
    let answered = |request, answer| Event::Answered { request, at: now, served_by: None, answer };
    let ended = |request, end| Event::Ended { request, at: now, end };
    let note = |endpoint, prompt, verdict| {
        Event::Noted(PlacementEvent {
            at: now,
            endpoint: address(endpoint),
            chain: chain(prompt),
            verdict,
        })
    };
    match *words.as_slice() {
        ["pool", ref members @ ..] => {
            let (objectives, endpoints): (Vec<&str>, _) =
                members.iter().partition(|word| word.contains('='));
            let endpoints = endpoints.into_iter().map(endpoint).collect();
            let objectives = objectives.into_iter().map(objective).collect();
            let snapshot = Snapshot { endpoints, objectives, ..Snapshot::default() };
            Event::Snapshot { snapshot, received_at: now }
        }
        ["ok", id] => answered(request(id), ResponseClass::Taken),
        ["fail", id] => answered(request(id), ResponseClass::Failed(Fault::Endpoint)),
        ["break", id] => ended(request(id), End::Broken(Fault::Endpoint)),
        ["leave", id] => ended(request(id), End::Gone),
        ["end", id] => ended(request(id), End::Whole),
        ["hear", endpoint, prompt] => note(endpoint, prompt, EventKind::Placed),
        ["use", endpoint, prompt] => note(endpoint, prompt, EventKind::Used),
        ["unhear", endpoint, prompt] => note(endpoint, prompt, EventKind::Withdrawn),
        _ => panic!("unknown event {words:?}"),
    }
}

fn endpoint(words: &str) -> Endpoint {
    let mut words = words.split(':');
    let address = address(words.next().unwrap());
    let mut metrics = Metrics::default();
    let (mut health, mut blind) = (Health::Up, false);
    for word in words {
        let number = word.trim_start_matches(|letter: char| letter.is_ascii_alphabetic());
        let number = || number.parse::<u32>().unwrap();
        match word.trim_end_matches(|digit: char| digit.is_ascii_digit()) {
            "w" => metrics.waiting = number(),
            "k" => metrics.kv_usage = number() as f32 / 100.0,
            "old" => metrics.age = Duration::from_millis(number().into()),
            "c" => metrics.cache = Some(CacheConfig { block_tokens: 64, blocks: number() }),
            "down" => health = Health::Down,
            "blind" => blind = true,
            other => panic!("unknown trait {other:?}"),
        }
    }
    Endpoint {
        address,
        health,
        metrics: (!blind).then_some(metrics),
        labels: Vec::new(),
        incarnation: Incarnation::default(),
    }
}

fn objective(words: &str) -> Objective {
    let (name, priority) = words.split_once('=').unwrap();
    Objective { name: name.to_owned(), priority: Priority(priority.parse().unwrap()) }
}

/// Returns a is port 65 and so on.
fn address(letter: &str) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], u16::from(letter.as_bytes().first().copied().unwrap())))
}

fn letter(address: &SocketAddr) -> char {
    char::from(u8::try_from(address.port()).unwrap())
}

fn chain(prompt: &str) -> Chain {
    let mut chainer = Chainer::new(&Seed::default(), 99);
    for letter in prompt.bytes().filter(|letter| *letter != b'-') {
        chainer.update(&[letter; BLOCK_BYTES]);
    }
    chainer.finish()
}

fn show(PlacementEvent { endpoint, chain, verdict, .. }: &PlacementEvent) -> String {
    format!("tell {verdict:?} {} blocks on {}", chain.blocks, letter(endpoint))
}

fn describe(decision: &SchedulingResult) -> String {
    let SchedulingResult { ranked, scores, total, age, blocks, sight, .. } = decision;
    let matched = sight.matched;
    let ranked: String = ranked.iter().map(letter).collect();
    let scores: Vec<String> =
        scores.iter().map(|(scorer, score)| format!("{scorer}={:.2}", score.get())).collect();
    let age = age.map_or("never".to_owned(), |age| format!("{}ms", age.as_millis()));
    format!("{ranked} ({} sum={total:.2} age={age} {matched}/{blocks})", scores.join(" "))
}

#[test]
fn the_same_prompt_sticks() {
    insta::assert_snapshot!(tell("
        0 pool A B C
        1 ask 1 aab
        2 ok 1
        3 ask 2 aab
        4 ask 3 aac
        5 ask 4 x
    "), @"
    0 pool A B C
    1 ask 1 aab => 1 to ABC (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=1ms 0/3); tell Placed 3 blocks on A
    2 ok 1
    3 ask 2 aab => 2 to ABC (queue=1.00 kv=1.00 prefix=1.00 sum=7.00 age=3ms 3/3); tell Placed 3 blocks on A
    4 ask 3 aac => 3 to ACB (queue=1.00 kv=1.00 prefix=0.67 sum=6.00 age=4ms 2/3); tell Placed 3 blocks on A
    5 ask 4 x => 4 to BCA (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=5ms 0/1); tell Placed 1 blocks on B
    ");
}

#[test]
fn objectives_are_those_of_the_latest_snapshot() {
    insta::assert_snapshot!(tell("
        0 priority paid
        1 pool A batch=-5 paid=10
        2 priority paid
        3 priority batch
        4 pool A paid=20
        5 priority paid
        6 priority batch
    "), @"
    0 priority paid => None
    1 pool A batch=-5 paid=10
    2 priority paid => Some(Priority(10))
    3 priority batch => Some(Priority(-5))
    4 pool A paid=20
    5 priority paid => Some(Priority(20))
    6 priority batch => None
    ");
}

/// A burst is placed before any of its answers, so what was only sent has to count.
#[test]
fn a_burst_sticks_together() {
    insta::assert_snapshot!(tell("
        0 pool A B C D
        1 ask 1 abc
        1 ask 2 abc
        1 ask 3 abc
    "), @"
    0 pool A B C D
    1 ask 1 abc => 1 to DAB (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=1ms 0/3); tell Placed 3 blocks on D
    1 ask 2 abc => 2 to DAB (queue=1.00 kv=1.00 prefix=1.00 sum=7.00 age=1ms 3/3); tell Placed 3 blocks on D
    1 ask 3 abc => 3 to DAC (queue=1.00 kv=1.00 prefix=1.00 sum=7.00 age=1ms 3/3); tell Placed 3 blocks on D
    ");
}

#[test]
fn a_failure_is_unlearnt() {
    insta::assert_snapshot!(tell("
        0 pool A B:k1
        1 ask 1 aab
        2 fail 1
        3 pool A:k1 B
        4 ask 2 aab
        5 end 2
        6 ok 2
    "), @"
    0 pool A B:k1
    1 ask 1 aab => 1 to AB (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=1ms 0/3); tell Placed 3 blocks on A
    2 fail 1 => tell Failed(Endpoint) 3 blocks on A
    3 pool A:k1 B
    4 ask 2 aab => 2 to BA (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=1ms 0/3); tell Placed 3 blocks on B
    5 end 2 => tell Withdrawn 3 blocks on B
    6 ok 2
    ");
}

/// The prompt was computed, and its end is told as a use of it with the next placement; the
/// endpoint that broke off is at fault all the same.
#[test]
fn what_broke_off_is_learnt_and_failed() {
    insta::assert_snapshot!(tell("
        0 pool A B:k1
        1 ask 1 aab
        2 ok 1
        3 break 1
        4 pool A:k1 B
        5 ask 2 aab
    "), @"
    0 pool A B:k1
    1 ask 1 aab => 1 to AB (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=1ms 0/3); tell Placed 3 blocks on A
    2 ok 1
    3 break 1 => tell Broke(Endpoint) 0 blocks on A
    4 pool A:k1 B
    5 ask 2 aab => 2 to AB (queue=1.00 kv=0.99 prefix=1.00 sum=6.98 age=1ms 3/3); tell Used 3 blocks on A; tell Placed 3 blocks on A
    ");
}

/// All of these responses had begun well, which ends no row of those that break off. A client that
/// leaves in the middle says nothing.
#[test]
fn answers_that_break_off_add_up() {
    insta::assert_snapshot!(tell("
        0 pool A B:w9
        1 ask 1 -
        1 ok 1
        1 break 1
        2 ask 2 -
        2 ok 2
        2 leave 2
        3 ask 3 -
        3 ok 3
        3 break 3
        4 ask 4 -
        4 ok 4
        4 break 4
        5 ask 5 -
    "), @"
    0 pool A B:w9
    1 ask 1 - => 1 to AB (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=1ms 0/0)
    1 ok 1
    1 break 1 => tell Broke(Endpoint) 0 blocks on A
    2 ask 2 - => 2 to AB (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=2ms 0/0)
    2 ok 2
    2 leave 2
    3 ask 3 - => 3 to AB (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=3ms 0/0)
    3 ok 3
    3 break 3 => tell Broke(Endpoint) 0 blocks on A
    4 ask 4 - => 4 to AB (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=4ms 0/0)
    4 ok 4
    4 break 4 => tell Broke(Endpoint) 0 blocks on A
    5 ask 5 - => 5 to B (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=5ms 0/0)
    ");
}

/// A response that comes whole ends the row.
#[test]
fn a_whole_answer_ends_the_row() {
    insta::assert_snapshot!(tell("
        0 pool A B:w9
        1 ask 1 -
        1 ok 1
        1 break 1
        2 ask 2 -
        2 ok 2
        2 break 2
        3 ask 3 -
        3 ok 3
        3 end 3
        4 ask 4 -
        4 ok 4
        4 break 4
        5 ask 5 -
    "), @"
    0 pool A B:w9
    1 ask 1 - => 1 to AB (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=1ms 0/0)
    1 ok 1
    1 break 1 => tell Broke(Endpoint) 0 blocks on A
    2 ask 2 - => 2 to AB (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=2ms 0/0)
    2 ok 2
    2 break 2 => tell Broke(Endpoint) 0 blocks on A
    3 ask 3 - => 3 to AB (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=3ms 0/0)
    3 ok 3
    3 end 3 => tell Served 0 blocks on A
    4 ask 4 - => 4 to AB (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=4ms 0/0)
    4 ok 4
    4 break 4 => tell Broke(Endpoint) 0 blocks on A
    5 ask 5 - => 5 to AB (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=5ms 0/0)
    ");
}

/// An end is told along with the next placement. Told late, it brings nothing back.
#[test]
fn an_end_is_a_use_of_what_is_there() {
    insta::assert_snapshot!(tell("
        0 pool A:k1 B
        1 use B aab
        2 ask 1 aab
        3 ok 1
        4 end 1
        5 unhear B aab
        6 ask 2 ccd
    "), @"
    0 pool A:k1 B
    1 use B aab
    2 ask 1 aab => 1 to BA (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=2ms 0/3); tell Placed 3 blocks on B
    3 ok 1
    4 end 1
    5 unhear B aab
    6 ask 2 ccd => 2 to BA (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=6ms 0/3); tell Used 3 blocks on B; tell Placed 3 blocks on B
    ");
}

/// Blocks that two requests brought together stay when one of them fails.
#[test]
fn a_failure_takes_only_its_own() {
    insta::assert_snapshot!(tell("
        0 pool A B:w9
        1 ask 1 aab
        2 ask 2 aac
        3 end 2
        4 ask 3 aac
        5 ok 1
        6 end 1
    "), @"
    0 pool A B:w9
    1 ask 1 aab => 1 to AB (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=1ms 0/3); tell Placed 3 blocks on A
    2 ask 2 aac => 2 to AB (queue=1.00 kv=1.00 prefix=0.67 sum=6.00 age=2ms 2/3); tell Placed 3 blocks on A
    3 end 2 => tell Withdrawn 3 blocks on A
    4 ask 3 aac => 3 to AB (queue=1.00 kv=1.00 prefix=0.67 sum=6.00 age=4ms 2/3); tell Placed 3 blocks on A
    5 ok 1
    6 end 1
    ");
}

#[test]
fn a_dead_pod_is_left_and_found_again() {
    insta::assert_snapshot!(tell("
        0 pool A B:w9
        1 ask 1 aab
        2 pool A:down B:w9
        3 ask 2 aab
        4 pool A B:w9
        5 ask 3 aab
        6 pool A:down B:down
        7 ask 4 aab
    "), @"
    0 pool A B:w9
    1 ask 1 aab => 1 to AB (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=1ms 0/3); tell Placed 3 blocks on A
    2 pool A:down B:w9
    3 ask 2 aab => 2 to B (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=1ms 0/3); tell Placed 3 blocks on B
    4 pool A B:w9
    5 ask 3 aab => 3 to AB (queue=1.00 kv=1.00 prefix=1.00 sum=7.00 age=1ms 3/3); tell Placed 3 blocks on A
    6 pool A:down B:down
    7 ask 4 aab => 4 to AB (queue=1.00 kv=1.00 prefix=1.00 sum=7.00 age=1ms 3/3); tell Placed 3 blocks on A
    ");
}

/// A pod that left the pool and came back at the same address starts with an empty cache.
#[test]
fn a_new_pod_has_no_prefixes() {
    insta::assert_snapshot!(tell("
        0 pool A B:w9
        1 ask 1 aab
        2 pool B:w9
        3 pool A B:w9
        4 ask 2 aab
    "), @"
    0 pool A B:w9
    1 ask 1 aab => 1 to AB (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=1ms 0/3); tell Placed 3 blocks on A
    2 pool B:w9
    3 pool A B:w9
    4 ask 2 aab => 2 to AB (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=1ms 0/3); tell Placed 3 blocks on A
    ");
}

#[test]
fn a_stale_pod_is_not_preferred_and_an_unread_one_goes_by_what_is_in_flight() {
    insta::assert_snapshot!(tell("
        9000 pool A:w5:k90 B:blind C:old2000 D:w6:k90
        9001 ask 1 -
    "), @"
    9000 pool A:w5:k90 B:blind C:old2000 D:w6:k90
    9001 ask 1 - => 1 to BAD (queue=1.00 kv=0.00 prefix=0.00 sum=2.00 age=never 0/0)
    ");
}

#[test]
fn with_all_stale_the_prefix_decides() {
    insta::assert_snapshot!(tell("
        0 pool A:w9:k80 B
        1 hear A aab
        2001 ask 1 aab
    "), @"
    0 pool A:w9:k80 B
    1 hear A aab
    2001 ask 1 aab => 1 to AB (queue=0.00 kv=0.00 prefix=1.00 sum=3.00 age=2001ms 3/3); tell Placed 3 blocks on A
    ");
}

#[test]
fn an_empty_pool_is_refused() {
    insta::assert_snapshot!(tell("
        0 ask 1 a
        1 pool
        2 ask 2 a
        3 end 2
    "), @"
    0 ask 1 a => 1 refused: no snapshot of the pool has been received yet
    1 pool
    2 ask 2 a => 2 refused: the pool has no endpoints
    3 end 2
    ");
}

#[test]
fn fallbacks_come_in_the_order_of_their_sums() {
    insta::assert_snapshot!(tell("
        0 pool A:w8 B:w2 C:w4 D:w6
        1 hear D ab
        2 ask 1 abcd
    "), @"
    0 pool A:w8 B:w2 C:w4 D:w6
    1 hear D ab
    2 ask 1 abcd => 1 to DBC (queue=0.33 kv=1.00 prefix=0.50 sum=4.17 age=2ms 2/4); tell Placed 4 blocks on D
    ");
}

#[test]
fn other_workers_are_believed() {
    insta::assert_snapshot!(tell("
        0 pool A B:k1
        1 hear B aab
        2 hear Z aab
        3 ask 1 aab
        4 hear B xy
        5 unhear B xy
        6 ask 2 xy
    "), @"
    0 pool A B:k1
    1 hear B aab
    2 hear Z aab
    3 ask 1 aab => 1 to BA (queue=1.00 kv=0.99 prefix=1.00 sum=6.98 age=3ms 3/3); tell Placed 3 blocks on B
    4 hear B xy
    5 unhear B xy
    6 ask 2 xy => 2 to AB (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=6ms 0/2); tell Placed 2 blocks on A
    ");
}

/// The cache of two blocks keeps the head of three.
#[test]
fn an_engine_is_believed_about_its_cache() {
    insta::assert_snapshot!(tell("
        0 pool A:c2
        1 ask 1 aab
        2 ask 2 aab
        3 ask 3 xx
        4 ask 4 aab
    "), @"
    0 pool A:c2
    1 ask 1 aab => 1 to A (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=1ms 0/3); tell Placed 3 blocks on A
    2 ask 2 aab => 2 to A (queue=1.00 kv=1.00 prefix=0.67 sum=6.00 age=2ms 2/3); tell Placed 3 blocks on A
    3 ask 3 xx => 3 to A (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=3ms 0/2); tell Placed 2 blocks on A
    4 ask 4 aab => 4 to A (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=4ms 0/3); tell Placed 3 blocks on A
    ");
}

/// An engine evicts what was in use least recently, and a prompt is in use until its request ends.
/// The other workers hear of that with the next placement.
#[test]
fn what_was_in_use_last_stays_longest() {
    insta::assert_snapshot!(tell("
        0 pool A:c4
        1 ask 1 ab
        2 ask 2 xy
        3 ok 1
        3 ok 2
        4 end 1
        5 ask 3 vw
        6 ask 4 ab
        6 ask 5 xy
    "), @"
    0 pool A:c4
    1 ask 1 ab => 1 to A (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=1ms 0/2); tell Placed 2 blocks on A
    2 ask 2 xy => 2 to A (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=2ms 0/2); tell Placed 2 blocks on A
    3 ok 1
    3 ok 2
    4 end 1
    5 ask 3 vw => 3 to A (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=5ms 0/2); tell Used 2 blocks on A; tell Placed 2 blocks on A
    6 ask 4 ab => 4 to A (queue=1.00 kv=1.00 prefix=1.00 sum=7.00 age=6ms 2/2); tell Placed 2 blocks on A
    6 ask 5 xy => 5 to A (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=6ms 0/2); tell Placed 2 blocks on A
    ");
}

#[test]
fn without_a_prompt_load_decides() {
    insta::assert_snapshot!(tell("
        0 pool A:w4 B:w1 C:w2
        1 ask 1 -
        2 end 1
    "), @"
    0 pool A:w4 B:w1 C:w2
    1 ask 1 - => 1 to BCA (queue=1.00 kv=1.00 prefix=0.00 sum=4.00 age=1ms 0/0)
    2 end 1
    ");
}
