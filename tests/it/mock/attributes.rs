//! Custom metrics, from the snapshot to the choice.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use picker_core::{Endpoint, Snapshot};
use serde_json::{Value, json};

use super::{
    push::{Pod, Push},
    world::{WORKERS, Way, World, about},
};

fn config(plugin: &str, parameters: &Value) -> Value {
    let references = [plugin, "max-score-picker"].map(|name| json!({"pluginRef": name}));
    json!({
        "plugins": [{"type": plugin, "parameters": parameters}, {"type": "max-score-picker"}],
        "schedulingProfiles": [{"name": "default", "plugins": references}],
    })
}

/// Pods 1 to 3, of which the first two say how hot they are.
fn world(config: &Value) -> World {
    let world = World::with(Way::STOP_ITERATION_HEADER, config);
    let measured = |(number, heat): (u8, Option<f64>)| -> Endpoint {
        let mut endpoint = Pod::idle(number).endpoint();
        let heat = heat.map(|heat| ("heat".to_owned(), heat)).into_iter();
        endpoint.metrics.as_mut().unwrap().attributes = heat.collect();
        endpoint
    };
    let endpoints = [(1, Some(80.0)), (2, Some(40.5)), (3, None)].map(measured).into();
    let push =
        Push { body: Push::of_endpoints(Snapshot::default(), endpoints).body, ..world.push(&[]) };
    assert_eq!(world.ingest(0, &push.headers(), &push.body).status(), Some(204));
    world
}

#[test]
fn a_scorer_goes_by_them() {
    let algorithm = json!({"type": "linear_lower_is_better"});
    let parameters = json!({"attributeKey": "heat", "algorithm": algorithm});
    let world = world(&config("endpoint-attribute-scorer", &parameters));
    for worker in 0..WORKERS {
        let stream = world.chat(worker, &about(&worker.to_string()));
        assert_eq!(world.pod(&stream).number, 2);
        assert!(World::decision(&stream).contains("attribute=1.00"));
    }
    world.is_well();
}

#[test]
fn a_filter_goes_by_them() {
    for (missing, expected) in [("Pass", [2, 3].as_slice()), ("Fail", &[2])] {
        let algorithm =
            json!({"type": "threshold", "threshold": {"operator": "LessThan", "value": 50}});
        let parameters = json!({"attribute": "heat", "onMissing": missing, "algorithm": algorithm});
        let world = world(&config("endpoint-attribute-filter", &parameters));
        let stream = world.chat(0, "hello");
        let list = world.destinations(&stream).unwrap();
        let mut named: Vec<u8> = list.split(',').map(|it| Pod::at(it).number).collect();
        named.sort_unstable();
        assert_eq!(named, expected, "{missing}");
        let decision = World::decision(&stream);
        let dropped = 3 - expected.len();
        let filtered = format!(";candidates=3;filtered=endpoint-attribute-filter:{dropped};");
        assert!(decision.contains(&filtered), "{decision}");
        assert_eq!(decision.contains(";runner-up=10.0.0."), expected.len() > 1, "{decision}");
        world.is_well();
    }
}
