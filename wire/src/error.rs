//! Errors as clients of the OpenAI and the Anthropic API expect them.

use serde::Serialize;

use crate::body::Dialect;

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

#[derive(Serialize)]
struct AnthropicEnvelope<'a> {
    r#type: &'static str,
    error: AnthropicInside<'a>,
}

#[derive(Serialize)]
struct AnthropicInside<'a> {
    r#type: &'static str,
    message: &'a str,
}

/// The body of an answer with an HTTP status that is an error, `application/json`: the envelope of
/// the client's API, with the EPP's types.
#[must_use]
pub fn body(dialect: Dialect, status: u16, message: &str) -> String {
    let body = match dialect {
        Dialect::OpenAi => {
            let error = Inside { message, r#type: kind(status), code: status };
            serde_json::to_string(&Envelope { error })
        }
        Dialect::Anthropic => {
            let error = AnthropicInside { r#type: anthropic_kind(status), message };
            serde_json::to_string(&AnthropicEnvelope { r#type: "error", error })
        }
    };
    // Text and numbers always serialise.
    body.unwrap_or_default()
}

/// The same for Anthropic, which tells overload from failure, and names what is too large.
fn anthropic_kind(status: u16) -> &'static str {
    match status {
        413 => "request_too_large",
        503 => "overloaded_error",
        500.. => "api_error",
        _ => kind(status),
    }
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
    use crate::body::Dialect;

    #[test]
    fn quotes_breaks_and_controls_are_escaped() {
        insta::assert_snapshot!(
            body(Dialect::OpenAi, 400, "found \"x\"\n\u{1}\\ é"),
            @r#"{"error":{"message":"found \"x\"\n\u0001\\ é","type":"invalid_request_error","code":400}}"#
        );
    }

    #[test]
    fn anthropic_has_an_envelope_of_its_own() {
        let bodies = [400, 401, 404, 413, 429, 500, 503].map(|status| {
            let body = body(Dialect::Anthropic, status, "m");
            let kind = body
                .strip_prefix("{\"type\":\"error\",\"error\":{\"type\":\"")
                .and_then(|rest| rest.strip_suffix("\",\"message\":\"m\"}}"));
            kind.unwrap_or("another envelope").to_owned()
        });
        assert_eq!(
            bodies.join(" "),
            "invalid_request_error authentication_error not_found_error request_too_large \
            rate_limit_error api_error overloaded_error"
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
