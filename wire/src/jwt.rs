//! The payload of a JSON Web Token that Envoy has verified, as its jwt_authn filter puts it into a
//! header (Istio: `outputPayloadToHeader`).

use base64::{
    Engine as _,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::Value;

/// Bytes of a payload that are read. A token has to fit into a header besides its signature.
const PAYLOAD_MAX: usize = 32 << 10;

/// Decoder of tokens, which are written without padding; padded ones are read too.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Beginning of the user names that Kubernetes gives to service accounts.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// Returns a claim of the payload as text. `path` leads to it through objects. `None` for bytes
/// that are no payload, or have no such claim.
#[must_use]
pub fn claim(payload: &[u8], path: &[String]) -> Option<String> {
    if payload.len() > PAYLOAD_MAX {
        return None;
    }
    let json: Value = serde_json::from_slice(&BASE64.decode(payload).ok()?).ok()?;
    let claim = path.iter().try_fold(&json, |value, key| value.get(key))?;
    match claim {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        // Several audiences; the first one is as good as the whole list.
        Value::Array(list) => list.first()?.as_str().map(str::to_owned),
        Value::Null | Value::Bool(_) | Value::Object(_) => None,
    }
}

/// Returns the objective of a user, as OpenShift AI's authorisation names it: the namespace of a
/// service account, `authenticated` for any other user, `unauthenticated` without a user.
#[must_use]
pub fn objective(has_token: bool, user: Option<&str>) -> &str {
    let namespace = user.and_then(|user| user.strip_prefix(SERVICE_ACCOUNT)?.split(':').next());
    namespace.unwrap_or(if has_token { "authenticated" } else { "unauthenticated" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sub(payload: &str) -> Option<String> {
        claim(payload.as_bytes(), &["sub".to_owned()])
    }

    #[test]
    fn claims_are_read_from_base64url_with_or_without_padding() {
        let json = r#"{"sub":"ünï>>>???","aud":["a","b"],"org":{"id":7},"none":null}"#;
        let padded = base64::engine::general_purpose::URL_SAFE.encode(json);
        assert!(padded.ends_with('=') && padded.contains(['-', '_']), "{padded}");
        let bare = padded.trim_end_matches('=');
        assert_eq!([sub(&padded), sub(bare)], [Some("ünï>>>???".into()), Some("ünï>>>???".into())]);
        let at = |path: &[&str]| {
            let path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
            claim(bare.as_bytes(), &path)
        };
        assert_eq!(at(&["aud"]).as_deref(), Some("a"));
        assert_eq!(at(&["org", "id"]).as_deref(), Some("7"));
        assert_eq!(
            [at(&["org"]), at(&["none"]), at(&["org", "x"]), at(&["sub", "x"])],
            [const { None }; 4]
        );
    }

    #[test]
    fn what_is_no_payload_says_nothing() {
        for payload in ["", "e30", "!!!", "bm90IGpzb24", "eyJzdWIiOjF9eyJ9", "eyJhbGci.eyJzdWIi.x"]
        {
            assert_eq!(sub(payload), None, "{payload}");
        }
        let long = BASE64.encode(format!(r#"{{"sub":"{}"}}"#, "x".repeat(PAYLOAD_MAX)));
        assert_eq!(sub(&long), None);
    }

    #[test]
    fn the_objective_is_a_service_accounts_namespace() {
        assert_eq!(objective(true, Some("system:serviceaccount:team-a:robot")), "team-a");
        assert_eq!(objective(true, Some("alice")), "authenticated");
        assert_eq!(objective(true, None), "authenticated");
        assert_eq!(objective(false, None), "unauthenticated");
    }
}
