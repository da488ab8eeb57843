//! Errors as clients of the OpenAI API expect them.

use serde::Serialize;

#[derive(Serialize)]
struct Envelope<'a> {
    error: Inside<'a>,
}

#[derive(Serialize)]
struct Inside<'a> {
    message: &'a str,
    r#type: &'static str,
    code: u16,
}

/// The body of an answer with an HTTP status that is an error, `application/json`: the envelope of
/// the OpenAI API, with the EPP's types.
#[must_use]
pub fn body(status: u16, message: &str) -> String {
    let error = Inside { message, r#type: kind(status), code: status };
    // Text and numbers always serialise.
    serde_json::to_string(&Envelope { error }).unwrap_or_default()
}

/// The `type` of an error, by the EPP's table; another client error counts as a bad request.
fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use super::body;

    #[test]
    fn quotes_breaks_and_controls_are_escaped() {
        insta::assert_snapshot!(
            body(400, "found \"x\"\n\u{1}\\ é"),
            @r#"{"error":{"message":"found \"x\"\n\u0001\\ é","type":"invalid_request_error","code":400}}"#
        );
    }

    #[test]
    fn every_status_has_the_type_that_the_epp_gives_it() {
        let kinds = [400, 401, 403, 404, 409, 412, 413, 429, 500, 503].map(super::kind);
        assert_eq!(
            kinds.join(" ").replace("_error", ""),
            "invalid_request authentication \
            permission not_found invalid_request invalid_request invalid_request rate_limit server \
            server"
        );
    }
}
