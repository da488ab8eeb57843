//! Snapshots and placement events.

use std::{net::SocketAddr, time::Duration};

use arbtest::arbitrary::{Result, Unstructured};
use picker_core::{
    Adapters, BlockHash, BytesPerToken, CacheConfig, Chain, ClientId, Endpoint, EventKind, Fault,
    Health, Incarnation, Instant, KeptName, MODEL_REWRITES_MAX, MODELS_MAX, Metrics, Model,
    ModelRewrite, OBJECTIVES_MAX, Objective, PlacementEvent, REWRITE_NAMES_MAX, REWRITE_RULES_MAX,
    REWRITE_WEIGHT_MAX, RewriteRule, RewriteTarget, SessionId, Snapshot, TextMeasure,
    flow::Priority,
};
use wire::{placement_event, snapshot};

use crate::mutated;

fn address(u: &mut Unstructured<'_>) -> Result<SocketAddr> {
    let port: u16 = u.arbitrary()?;
    Ok(if u.arbitrary()? {
        (u.arbitrary::<[u8; 4]>()?, port).into()
    } else {
        (u.arbitrary::<[u8; 16]>()?, port).into()
    })
}

fn some_metrics(u: &mut Unstructured<'_>) -> Result<Metrics> {
    Ok(Metrics {
        age: Duration::new(u.arbitrary()?, u.int_in_range(0..=999_999_999)?),
        waiting: u.arbitrary()?,
        running: u.arbitrary()?,
        kv_usage: f32::from(u.arbitrary::<u8>()?) / 255.0,
        cache: Some(CacheConfig { block_tokens: u.arbitrary()?, blocks: u.arbitrary()? }),
        adapters: Some(Adapters {
            max: u.arbitrary()?,
            running: vec!["sql".into()],
            waiting: vec![],
        }),
        attributes: if u.arbitrary()? { vec![("load".to_owned(), 0.25)] } else { Vec::new() },
    })
}

fn some_snapshot(u: &mut Unstructured<'_>) -> Result<Snapshot> {
    let mut endpoints = Vec::new();
    for _ in 0..u.int_in_range(0..=5)? {
        endpoints.push(Endpoint {
            address: address(u)?,
            health: if u.arbitrary()? { Health::Up } else { Health::Down },
            metrics: if u.arbitrary()? { Some(some_metrics(u)?) } else { None },
            labels: vec![("llm-d.ai/role".into(), "decode".into())],
            incarnation: Incarnation {
                number: u.arbitrary()?,
                age: Duration::from_millis(u.arbitrary::<u32>()?.into()),
            },
        });
    }
    Ok(Snapshot {
        pool: "default".into(),
        quiet_for: Duration::from_millis(u.int_in_range(0..=1_000)?),
        endpoints,
        objectives: some_objectives(u)?,
        model_rewrites: some_rewrites(u)?,
        models: some_models(u)?,
        texts: some_texts(u)?,
    })
}

fn some_texts(u: &mut Unstructured<'_>) -> Result<Vec<TextMeasure>> {
    let text = |model: &str, bytes: u8, answers| TextMeasure {
        model: model.to_owned(),
        bytes_per_token: BytesPerToken::new(f64::from(bytes) / 7.0),
        answers,
    };
    let names = if u.arbitrary()? { vec!["", "llama"] } else { vec![] };
    names.into_iter().map(|name| Ok(text(name, u.arbitrary()?, u.arbitrary()?))).collect()
}

fn some_objectives(u: &mut Unstructured<'_>) -> Result<Vec<Objective>> {
    let mut names = vec!["batch", "paid", "team-a.paid"];
    let left_out = u.int_in_range(0..=names.len())?;
    names.truncate(names.len() - left_out);
    names.into_iter().map(|name| Ok(objective(name, u.arbitrary()?))).collect()
}

fn some_rewrites(u: &mut Unstructured<'_>) -> Result<Vec<ModelRewrite>> {
    let rewrite = |names: Vec<u8>, weight: u32| {
        let name = |n: &u8| format!("model-{n}");
        let target = |n| RewriteTarget { model: name(n), weight: 1 + weight % REWRITE_WEIGHT_MAX };
        let models = names.iter().map(name).collect();
        let targets = names.iter().chain([&0]).map(target).collect();
        ModelRewrite { name: "canary.team-a".into(), rules: vec![RewriteRule { models, targets }] }
    };
    let mut rewrites = Vec::new();
    for _ in 0..u.int_in_range(0..=3)? {
        let names = u.arbitrary::<[u8; 4]>()?;
        rewrites.push(rewrite(names.to_vec(), u.arbitrary()?));
    }
    Ok(rewrites)
}

fn some_models(u: &mut Unstructured<'_>) -> Result<Vec<Model>> {
    let members = r#""max_model_len":4096"#.to_owned();
    let base = Model { name: "base".into(), parent: None, members };
    let parent = Some("base".into());
    let adapter = Model { name: "sql".into(), parent, members: String::new() };
    Ok(if u.arbitrary()? { vec![base, adapter] } else { vec![] })
}

fn objective(name: &str, priority: i32) -> Objective {
    Objective { name: name.into(), priority: Priority(priority) }
}

pub(crate) fn some_events(u: &mut Unstructured<'_>) -> Result<Vec<PlacementEvent>> {
    let mut events = Vec::new();
    for _ in 0..u.int_in_range(0..=5)? {
        let hashes: Vec<u64> = u.arbitrary()?;
        let bound = EventKind::Bound(SessionId(u.arbitrary()?));
        let kept = EventKind::Kept(KeptName(u.arbitrary()?));
        let unclear = Fault::Unclear(ClientId(u.arbitrary()?));
        events.push(PlacementEvent {
            at: Instant::from_nanos(u.arbitrary()?),
            endpoint: address(u)?,
            chain: Chain {
                hashes: hashes.into_iter().map(BlockHash).collect(),
                blocks: u.arbitrary()?,
            },
            verdict: *u.choose(&[
                EventKind::Placed,
                EventKind::Withdrawn,
                EventKind::Failed(Fault::Endpoint),
                EventKind::Failed(unclear),
                EventKind::Broke(Fault::Endpoint),
                EventKind::Broke(unclear),
                bound,
                kept,
                EventKind::Served,
                EventKind::Used,
            ])?,
        });
    }
    Ok(events)
}

#[test]
fn what_is_encoded_is_decoded() {
    arbtest::arbtest(|u| {
        let (snapshot, events) = (some_snapshot(u)?, some_events(u)?);
        assert_eq!(snapshot::decode(&snapshot::encode(&snapshot).unwrap()), Ok(snapshot));
        assert_eq!(placement_event::decode(&placement_event::encode(&events).unwrap()), Ok(events));
        Ok(())
    });
}

#[test]
fn broken_messages_never_panic_and_what_is_taken_can_be_sent_on() {
    arbtest::arbtest(|u| {
        let (snapshot, events) = (some_snapshot(u)?, some_events(u)?);
        if let Ok(taken) = snapshot::decode(&mutated(u, &snapshot::encode(&snapshot).unwrap())?) {
            assert!(snapshot::encode(&taken).is_ok());
        }
        if let Ok(taken) =
            placement_event::decode(&mutated(u, &placement_event::encode(&events).unwrap())?)
        {
            assert!(placement_event::encode(&taken).is_ok());
        }
        Ok(())
    });
}

#[test]
fn what_is_not_understood_is_refused_with_the_reason() {
    let empty = Snapshot { pool: "p".into(), ..Snapshot::default() };
    let bytes = snapshot::encode(&empty).unwrap();
    let say = |bytes: &[u8]| snapshot::decode(bytes).unwrap_err().to_string();
    let of_version = |version| [&bytes[..3], &[version], &bytes[4..]].concat();
    let long = Snapshot { pool: "p".repeat(64), ..empty.clone() };
    let silent = Snapshot { quiet_for: Duration::from_millis(1_001), ..empty.clone() };
    insta::assert_snapshot!([
        say(b""), say(b"LPN\x01"), say(&of_version(6)), say(&of_version(8)), say(&bytes[..5]), say(&[&bytes[..], b"x"].concat()),
        snapshot::encode(&long).unwrap_err().to_string(), snapshot::encode(&silent).unwrap_err().to_string(),
    ].join("\n"), @r#"
    does not begin with "LPS"
    does not begin with "LPS"
    found version 6; allowed: 7
    found version 8; allowed: 7
    cut off or not decodable
    1 bytes after the end
    the pool's name out of bounds; allowed: 63 bytes
    how long it is quiet out of bounds; allowed: 1 s
    "#);
}

#[test]
fn bounds_hold_at_their_edge() {
    let address: SocketAddr = ([127, 0, 0, 1], 8000).into();
    let endpoint = Endpoint {
        address,
        health: Health::Up,
        metrics: None,
        labels: vec![],
        incarnation: Incarnation::default(),
    };
    let pool = |len| Snapshot {
        pool: "p".into(),
        endpoints: vec![endpoint.clone(); len],
        ..Snapshot::default()
    };
    let full = snapshot::encode(&pool(snapshot::ENDPOINTS_MAX)).unwrap();
    assert_eq!(snapshot::decode(&full), Ok(pool(snapshot::ENDPOINTS_MAX)));
    assert!(snapshot::encode(&pool(snapshot::ENDPOINTS_MAX + 1)).is_err());
}

#[test]
fn objectives_are_bounded_named_as_in_kubernetes_and_in_order() {
    let with = |objectives| Snapshot { pool: "p".into(), objectives, ..Snapshot::default() };
    let many = |len| with((0..len).map(|n| objective(&format!("o{n:04}"), i32::MIN)).collect());
    let full = snapshot::encode(&many(OBJECTIVES_MAX)).unwrap();
    assert_eq!(snapshot::decode(&full), Ok(many(OBJECTIVES_MAX)));

    let named = |names: &[&str]| with(names.iter().map(|name| objective(name, 1)).collect());
    let longest = "n".repeat(snapshot::OBJECT_NAME_MAX);
    for good in ["a", "0", "paid-2", "team-a.paid", &longest] {
        assert!(snapshot::encode(&named(&[good])).is_ok(), "{good}");
    }
    let longer = "n".repeat(snapshot::OBJECT_NAME_MAX + 1);
    for bad in ["", ".", "a.", "-a", "a-", "a.-b", "a..b", "Paid", "a_b", "a b", "é", &longer] {
        assert!(snapshot::encode(&named(&[bad])).is_err(), "{bad}");
    }
    let why = |snapshot| snapshot::encode(&snapshot).unwrap_err().to_string();
    insta::assert_snapshot!([
        why(many(OBJECTIVES_MAX + 1)), why(named(&["b", "a"])), why(named(&["a", "a"])), why(named(&["A"])),
    ].join("\n"), @"
    objectives out of bounds; allowed: 1,024
    the order of objectives out of bounds; allowed: ascending names, each once
    the order of objectives out of bounds; allowed: ascending names, each once
    an objective's name out of bounds; allowed: a Kubernetes object's: 1 to 253 of a-z 0-9 - .
    ");
}

#[test]
fn model_rewrites_are_bounded() {
    let target = |weight| RewriteTarget { model: "m".into(), weight };
    let rule = |models, targets, weight| RewriteRule {
        models: vec!["m".into(); models],
        targets: vec![target(weight); targets],
    };
    let fine = rule(REWRITE_NAMES_MAX, REWRITE_NAMES_MAX, REWRITE_WEIGHT_MAX);
    let with = |objects, name: &str, rules| Snapshot {
        model_rewrites: vec![ModelRewrite { name: name.into(), rules }; objects],
        ..Snapshot::default()
    };
    let full = with(MODEL_REWRITES_MAX, "a", vec![fine.clone()]);
    assert_eq!(snapshot::decode(&snapshot::encode(&full).unwrap()), Ok(full));
    let many = with(1, "a", vec![fine.clone(); REWRITE_RULES_MAX]);
    assert!(snapshot::encode(&many).is_ok());

    let why = |snapshot| snapshot::encode(&snapshot).unwrap_err().to_string();
    let of = |rule| why(with(1, "a", vec![rule]));
    let unnamed = RewriteRule { models: vec![String::new()], targets: vec![target(1)] };
    insta::assert_snapshot!([
        why(with(MODEL_REWRITES_MAX + 1, "a", vec![])), why(with(1, "A", vec![])),
        why(with(1, "a", vec![fine; REWRITE_RULES_MAX + 1])), of(rule(REWRITE_NAMES_MAX + 1, 1, 1)),
        of(rule(0, 0, 1)), of(rule(0, 1, 0)), of(rule(0, 1, REWRITE_WEIGHT_MAX + 1)), of(unnamed),
    ].join("\n"), @"
    model rewrites out of bounds; allowed: 256
    a model rewrite's name out of bounds; allowed: a Kubernetes object's: 1 to 253 of a-z 0-9 - .
    a model rewrite's rules out of bounds; allowed: 64
    the models of a rule out of bounds; allowed: 64
    the targets of a rule out of bounds; allowed: 1 to 64
    a target's weight out of bounds; allowed: 1 to 1,000,000
    a target's weight out of bounds; allowed: 1 to 1,000,000
    a model's name out of bounds; allowed: 1 to 255 bytes
    ");
}

#[test]
fn models_are_bounded_and_in_order() {
    let model = |name: String| Model { name, ..Model::default() };
    let with = |models| Snapshot { models, ..Snapshot::default() };
    let many = |len| with((0..len).map(|n| model(format!("m{n:04}"))).collect());
    let full = many(MODELS_MAX);
    assert_eq!(snapshot::decode(&snapshot::encode(&full).unwrap()), Ok(full));
    let why = |snapshot| snapshot::encode(&snapshot).unwrap_err().to_string();
    let long = "n".repeat(snapshot::MODEL_NAME_MAX + 1);
    let orphan = Model { parent: Some(String::new()), ..model("a".into()) };
    let wordy = |name: &str, bytes| Model { members: "x".repeat(bytes), ..model(name.into()) };
    let all_wordy: Vec<_> = (10..43).map(|n| wordy(&n.to_string(), 2_048)).collect();
    insta::assert_snapshot!([
        why(many(MODELS_MAX + 1)), why(with(vec![model("a".into()); 2])), why(with(vec![model(long)])),
        why(with(vec![orphan])), why(with(vec![wordy("a", 2_049)])), why(with(all_wordy)),
    ].join("\n"), @"
    models out of bounds; allowed: 1,024
    the order of models out of bounds; allowed: ascending names, each once
    a model's name out of bounds; allowed: 1 to 255 bytes
    a model's name out of bounds; allowed: 1 to 255 bytes
    the members of a model out of bounds; allowed: 2,048 bytes
    the members of all models out of bounds; allowed: 65,536 bytes
    ");
}
