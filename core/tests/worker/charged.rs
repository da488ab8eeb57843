//! What a tenant is charged for an answer, before and after it is known.

use picker_core::{
    RequestId,
    flow::{BandConfig, FairnessPolicy, FlowConfig, FlowKey, TokenCost},
    worker::Input,
};

use super::{ended, envoy::Envoy};

/// A tenant pays for the answer that is expected when its request is granted; the truth takes that back.
#[test]
fn the_answer_that_came_is_charged_in_place_of_the_expected_one() {
    let fairness = FairnessPolicy::TokenFair(TokenCost::default());
    let default_band = BandConfig { fairness, ..BandConfig::default() };
    let mut envoy = Envoy::new(1, Some(FlowConfig { default_band, ..FlowConfig::default() }));
    envoy.show(&[1]);
    envoy.arrive(1, 7);
    envoy.arrive(1, 8);
    envoy.hear_all();
    envoy.tell(1, ended(7));
    assert!(envoy.hear_all().contains("8 goes to"));
    let charged = |request| Input::Charged {
        request: RequestId(request),
        flow: FlowKey::default(),
        tokens: 5,
    };
    let told = envoy.tell(1, charged(8));
    assert!(told.contains("tokens: 5, expected: 256"), "{told}");
    let told = envoy.tell(1, charged(8));
    assert!(!told.contains("expected: 256"), "once: {told}");
}
