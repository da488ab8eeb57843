//! Priorities: three bands that ask for twice what the pool has.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use serde_json::{Value, json};

use super::{
    script::{Script, tell},
    world::{gated, gated_with},
};
use crate::mock::world::{WORKERS, World};

#[test]
fn the_higher_band_goes_first() {
    let world = gated(&json!({}));
    tell(
        &world,
        "
        1 pods
        0 asks a => a goes
        1 asks l1 l2 as low
        2 asks z1 z2
        3 asks h1 h2 as high
        0 asks b1 as batch
        1 asks u1 as nobody-knows
        a ends => h1 goes
        h1 ends => h2 goes
        h2 ends => l1 goes
        2 asks h3 as high
        l1 ends => h3 goes
        h3 ends => l2 goes
        l2 ends => z1 goes
        z1 ends => z2 goes
        z2 ends => u1 goes
        u1 ends => b1 goes
        b1 ends
        count => (0, 0, 0)
        ",
    );
    world.is_well();
}

/// A request ends; another one of each band asks: so the three ask for what the pool has, and again as much. Who went, by
/// name, of so many.
fn served(world: &World, rounds: usize) -> [usize; 3] {
    let mut script = Script::new(world);
    script.play("2 pods");
    let bands = ["high", "low", "batch"];
    let mut served = [0; 3];
    let mut busy: Vec<String> = Vec::new();
    for round in 0..rounds {
        for (at, band) in bands.iter().enumerate() {
            // The highest band leaves half of the room to the others.
            if round % 2 == 0 || at == 1 {
                let ask = format!("{} asks {band}{round} as {band}", (round + at) % WORKERS);
                busy.extend(gone(&script.play(&ask)));
            }
        }
        let first = busy.remove(0);
        busy.extend(gone(&script.play(&format!("{first} ends"))));
        let at = bands.iter().position(|band| first.starts_with(band)).unwrap();
        served[at] += 1;
    }
    served
}

fn gone(news: &str) -> Vec<String> {
    news.split(", ").filter_map(|one| one.strip_suffix(" goes")).map(str::to_owned).collect()
}

#[test]
fn strict_starves_the_lowest() {
    let world = gated(&json!({}));
    // Nobody else waits yet when the first of the lowest goes.
    assert_eq!(served(&world, 100), [49, 50, 1]);
    world.is_well();
}

#[test]
fn weighted_keeps_its_floor() {
    let plugin: Value =
        json!({"type": "weighted-band-selection-policy", "parameters": {"defaultFloor": 0.1}});
    let flow = json!({"bandSelectionPolicyPluginRef": "weighted-band-selection-policy"});
    let world = gated_with(&[plugin], &flow);
    let [high, low, batch] = served(&world, 100);
    // At least 100 * 0.1, less one for each band.
    assert!((7..=14).contains(&batch), "{:?}", [high, low, batch]);
    assert!(high >= 45 && low > batch, "{:?}", [high, low, batch]);
    world.is_well();
}
