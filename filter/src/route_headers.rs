//! Headers that routes match on: the model that a request is for, and its pool. No client may set them, and Envoy chooses the
//! route anew once they are written.

use crate::host;

/// The model that a request is sent as (GIE's body-based router, llm-d's payload processor).
const MODEL: &str = "x-gateway-model-name";

/// The model that an adapter was made for; for any other model that model itself.
const BASE_MODEL: &str = "x-gateway-base-model-name";

/// The pool that takes the request.
const POOL: &str = "x-llm-picker-pool";

/// All of them.
pub(crate) const NAMES: [&str; 3] = [MODEL, BASE_MODEL, POOL];

/// Longest value, in bytes: as long as a model's name in a rewrite may be.
const VALUE_BYTES_MAX: usize = 255;

/// The values for one request.
pub(crate) struct RouteHeaders<'a> {
    /// Empty where the request names no model.
    pub(crate) model: &'a str,
    /// `None` where no endpoint says it.
    pub(crate) base_model: Option<&'a str>,
    pub(crate) pool: &'a str,
}

impl RouteHeaders<'_> {
    /// Writes the headers, and has Envoy choose the route anew. While Envoy still holds the headers only. A value that no
    /// header can have, which a client may name, is left out.
    pub(crate) fn write(&self) {
        let values =
            [(MODEL, Some(self.model)), (BASE_MODEL, self.base_model), (POOL, Some(self.pool))];
        for (name, value) in values {
            if let Some(value) = value.filter(|value| is_value(value)) {
                host::set_request_header(name, value);
            }
        }
        // A header that changes has the same effect, as was watched in Envoy 1.40; this does not rely on that. So an Envoy
        // without the function changes nothing.
        let _ = host::call_foreign_function("clear_route_cache", &[]);
    }
}

/// True if a header may have this value: no line ends early, and no proxy trims it.
fn is_value(value: &str) -> bool {
    (1..=VALUE_BYTES_MAX).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_no_line() {
        assert!(["llama", "a/b:c@7", "~"].into_iter().all(is_value));
        let long = "x".repeat(VALUE_BYTES_MAX + 1);
        for value in ["", " a", "a b", "a\r\nx-admin: 1", "a\0", "ä", "\u{7f}", &long] {
            assert!(!is_value(value), "{value:?}");
        }
    }
}
