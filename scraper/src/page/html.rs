//! The status page's HTML, and the rules by which a browser shows it.

use axum::{
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName},
    response::IntoResponse,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

/// The whole page: no build step, and nothing that is fetched from elsewhere.
const PAGE: &str = include_str!("../../page/status.html");

/// Returns the page. The name of a pod or of a tenant comes from strangers; the script only ever
/// sets it as text, and should it fail at that, the browser runs no other script than this one.
pub(super) fn page() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (CONTENT_SECURITY_POLICY, policy()),
        (CACHE_CONTROL, "no-cache".to_owned()),
        (HeaderName::from_static("x-content-type-options"), "nosniff".to_owned()),
        (HeaderName::from_static("referrer-policy"), "no-referrer".to_owned()),
    ];
    (headers, PAGE)
}

fn policy() -> String {
    format!(
        "default-src 'none'; script-src {}; style-src {}; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
        hash_source("script"),
        hash_source("style")
    )
}

/// Returns the source expression of the page's only element of that name (CSP, `hash-source`).
fn hash_source(element: &str) -> String {
    let inside = PAGE.split_once(&format!("<{element}>")).and_then(|(_, rest)| {
        let (inside, _) = rest.split_once(&format!("</{element}>"))?;
        Some(inside)
    });
    let digest = Sha256::digest(inside.unwrap_or_default());
    format!("'sha256-{}'", BASE64_STANDARD.encode(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_it_comes_from_elsewhere_or_is_made_of_text() {
        for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("]
        {
            assert!(!PAGE.contains(forbidden), "{forbidden}");
        }
        let urls = PAGE.match_indices("http").map(|(at, _)| &PAGE[at..PAGE.len().min(at + 22)]);
        let strangers: Vec<_> = urls.filter(|url| url.contains("://")).collect();
        assert!(strangers.iter().all(|url| url.starts_with("http://www.w3.org/")), "{strangers:?}");
        assert_eq!(PAGE.matches("<script").count(), 1);
        assert_eq!(PAGE.matches("<style").count(), 1);
    }

    #[test]
    fn the_policy_knows_its_script() {
        let empty = BASE64_STANDARD.encode(Sha256::digest(""));
        assert!(!policy().contains(&empty), "{}", policy());
    }
}
