//! The picker beside an EPP that stays: looks on, overrides, lets it rest, and back, while clients ask.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use super::{
    load::{Counts, Load, Picked, failed, picked},
    scene::{OTHER_CHAT, POOL_CHAT, Scene, settle},
    world::Cluster,
};

/// Requests that the EPP was asked for, by its own count.
fn asked(cluster: &Cluster) -> u64 {
    let page = cluster.page("qwen-epp-service.models", 9090, "/metrics");
    let counts = page.lines().filter_map(|line| line.strip_prefix("llm_d_epp_request_total"));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// Requests by which a step is judged.
const REQUESTS: u32 = 100;

/// Counts requests after a step, once it is in force everywhere.
fn after(load: &Load, is_first: bool) -> Counts {
    settle();
    let before = load.take();
    assert_eq!(failed(&before), [""; 0]);
    assert!(is_first || picked(&before, Picked::Nobody) == 0, "unpicked: {before:?}");
    let counts = load.more(REQUESTS);
    assert_eq!(failed(&counts), [""; 0]);
    counts
}

/// Returns whether all were picked so.
fn all(counts: &Counts, by: Picked) -> bool {
    picked(counts, by) > 0 && counts.len() == 1
}

#[test]
fn an_epp_is_looked_at_overruled_left_out_and_asked_again() {
    let scene = Scene::of_pool();
    let cluster = &scene.cluster;
    let load = Load::start(cluster, POOL_CHAT);
    let other = Load::start(cluster, OTHER_CHAT);
    let change = |epp: &str| scene.step(epp);

    change("lookOn").unwrap();
    scene.name_environment();
    let looked_on = after(&load, true);
    let seen = picked(&looked_on, Picked::PickerOverEpp) + picked(&looked_on, Picked::NotFollowed);
    assert!(seen > 0 && picked(&looked_on, Picked::NotFollowed) > 0, "{looked_on:?}");
    let refused = change("off").unwrap_err();
    assert!(refused.contains("first a release with epp override"), "{refused}");

    change("override").unwrap();
    let overruled = after(&load, false);
    assert!(all(&overruled, Picked::PickerOverEpp), "{overruled:?}");

    change("off").unwrap();
    let left_out = after(&load, false);
    assert!(all(&left_out, Picked::Picker), "{left_out:?}");
    let before = asked(cluster);
    load.more(REQUESTS);
    assert_eq!(asked(cluster), before, "the EPP was asked while it is off");
    let refused = change("lookOn").unwrap_err();
    assert!(refused.contains("first a release with epp override"), "{refused}");
    // Nothing of it is needed while it is off: stopped, killed, or without its Service.
    for (signal, also) in [("STOP", None), ("KILL", None), ("CONT", Some(()))] {
        for pid in cluster.processes("--pool-namespace") {
            cluster.shell(&format!("kill -s {signal} {pid}")).unwrap();
        }
        if also.is_some() {
            cluster.kubectl("delete -n models service/qwen-epp-service");
        }
        let without = after(&load, false);
        assert!(all(&without, Picked::Picker), "{signal}: {without:?}");
    }
    cluster.apply("pool.yaml");
    cluster.kubectl("rollout status -n models deployment/qwen-epp --timeout 240s");
    settle();

    change("override").unwrap();
    let overruled = after(&load, false);
    assert!(all(&overruled, Picked::PickerOverEpp), "{overruled:?}");
    change("lookOn").unwrap();
    assert!(picked(&after(&load, false), Picked::NotFollowed) > 0);
    scene.uninstall();
    let alone = after(&load, false);
    assert!(all(&alone, Picked::Epp), "{alone:?}");
    for load in [load, other] {
        assert_eq!(failed(&load.end()), [""; 0]);
    }
}
