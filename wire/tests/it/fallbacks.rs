//! Pools that take the requests of others, and pools that are left to Envoy.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use serde_json::{Value, json};
use wire::config::{Fallback, PickerConfig, PluginConfig, PoolConfig, parse};

fn picker(config: &Value) -> Result<PickerConfig, String> {
    match parse(config.to_string().as_bytes()) {
        Ok(PluginConfig::Picker(config)) => Ok(*config),
        Ok(PluginConfig::Ingest(_)) => panic!("no picker"),
        Err(refused) => Err(refused.to_string()),
    }
}

/// The refusal of a configuration with these pools.
fn refusal(pools: &Value) -> String {
    picker(&json!({"pools": pools, "routeHeaders": true})).unwrap_err()
}

#[test]
fn a_fallback_is_a_pool_that_may_stand_behind_one_for_all() {
    let pools = json!([
        {"name": "a", "match": {"model": "m"}, "fallback": {"pool": "c", "saturation": 1.5}},
        {"name": "b"},
        {"name": "c", "fallback": {"pool": "d"}},
        {"name": "d", "unpicked": true},
    ]);
    let config = picker(&json!({"pools": pools, "routeHeaders": true})).unwrap();
    assert!(config.routes_anew());
    let fallbacks: Vec<_> = config.pools.iter().map(|pool| pool.fallback.clone()).collect();
    let to = |pool: &str, saturation| Some(Fallback { pool: pool.to_owned(), saturation });
    assert_eq!(fallbacks, [to("c", Some(1.5)), None, to("d", None), None]);
    assert_eq!(
        config.pools.iter().map(PoolConfig::is_unpicked).collect::<Vec<_>>(),
        [false, false, false, true]
    );
}

#[test]
fn what_leads_nowhere_or_in_a_circle_is_refused() {
    let line = |names: &[&str]| {
        let pool = |pair: &[&str]| json!({"name": pair[0], "match": {"model": pair[0]}, "fallback": {"pool": pair[1]}});
        let mut pools: Vec<Value> = names.windows(2).map(pool).collect();
        pools.push(json!({"name": names[names.len() - 1]}));
        Value::from(pools)
    };
    let own = json!([{"name": "a", "fallback": {"pool": "a"}}]);
    let circle = json!([
        {"name": "a", "match": {"model": "a"}, "fallback": {"pool": "b"}},
        {"name": "b", "match": {"model": "b"}, "fallback": {"pool": "c"}},
        {"name": "c", "fallback": {"pool": "b"}},
    ]);
    let said = [
        json!([{"name": "a", "fallback": {"pool": "x"}}]),
        json!([{"name": "a", "fallback": {}}]),
        json!([{"name": "a", "fallback": "b"}, {"name": "b"}]),
        json!([{"name": "a", "match": {"model": "m"}, "fallback": {"pool": "b", "saturation": 0}}, {"name": "b"}]),
        own,
        circle,
        line(&["a", "b", "c", "d", "e", "f"]),
        json!([{"name": "a", "match": {"model": "m"}}, {"name": "b"}, {"name": "c"}]),
    ]
    .map(|pools| refusal(&pools));
    assert!(picker(&json!({"pools": line(&["a", "b", "c", "d", "e"])})).is_ok());
    insta::assert_snapshot!(said.join("\n"), @r#"
    invalid pools[0].fallback.pool: must be the name of a pool; "x" is none
    invalid pools[0].fallback.pool: must not be left out
    invalid pools[0].fallback "b": must be an object
    invalid pools[0].fallback.saturation 0: must be a number above 0
    invalid pools[0].fallback.pool: must not lead back, as a > a does
    invalid pools[0].fallback.pool: must not lead back, as a > b > c > b does
    invalid pools[0].fallback.pool: must lead through 4 pools at most; found a > b > c > d > e > f
    invalid pools[2]: must not stand behind "b", which has its name or leaves it no request; allowed: pools with names of their own, and one that matches everything as the last
    "#);
}

#[test]
fn routes_that_cannot_change_are_refused() {
    let unpicked = json!([{"name": "a", "match": {"model": "m"}}, {"name": "b", "unpicked": true}]);
    let said = [
        json!({"pools": unpicked}),
        json!({"pools": [{"name": "b", "unpicked": true, "config": {}}], "routeHeaders": true}),
        json!({"routeHeaders": true, "envoy": {"hold": "bufferFilter", "destination": "property"}}),
        json!({"routeHeaders": "yes"}),
    ]
    .map(|config| picker(&config).unwrap_err());
    insta::assert_snapshot!(said.join("\n"), @r#"
    invalid pools[1].unpicked true: must not stand without routeHeaders, by which requests get the route of that pool
    invalid pools[0].config: must not stand beside unpicked, as no endpoint of that pool is chosen
    invalid routeHeaders true: must not go with hold "bufferFilter", as headers can no longer be written once they went on; allowed: stopIteration
    invalid routeHeaders "yes": must be true or false
    "#);
}

#[test]
fn two_thousand_pools_are_taken_where_snapshots_are_pushed() {
    let pools = |count: usize| {
        let pool = |n: usize| json!({"name": format!("p{n}"), "match": {"model": format!("m{n}")}});
        Value::from((0..count).map(pool).collect::<Vec<_>>())
    };
    assert_eq!(picker(&json!({"pools": pools(2_048)})).unwrap().pools.len(), 2_048);
    let pull = json!({"cluster": "scraper"});
    assert!(picker(&json!({"pools": pools(64), "pull": pull})).is_ok());
    let said = [
        picker(&json!({"pools": pools(2_049)})).unwrap_err(),
        picker(&json!({"pools": pools(65), "pull": pull})).unwrap_err(),
    ];
    insta::assert_snapshot!(said.join("\n"), @r#"
    invalid pools of 2049 items: must have 1 to 2048
    invalid pull: must not go with 65 pools; allowed: at most 64, or snapshots that are pushed
    "#);
}
