//! The question to a live gateway: it explains by what only it knows, as requests in flight, prefixes and learnt rates.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, header::HOST};
use wire::{
    debug::{self, DebugKey, DebugWish, LIFETIME_MAX_SECONDS},
    explained::{EXPLANATION_BYTES_MAX, ToldExplanation},
};

use super::{ExplainedRequest, table};
use crate::{
    clock::unix_ms,
    peer::{Client, Peer, TlsClient},
    settings::{EnvoyUrl, Secret, TlsSettings},
};

/// Time for which the header of one question holds: the gateway's clock may be behind by as much.
const QUESTION_LIFETIME: Duration = Duration::from_secs(60);

/// A question to a live gateway.
#[derive(Debug)]
pub struct GatewayQuestion<'a> {
    /// Address that the gateway serves clients at.
    pub gateway: &'a EnvoyUrl,
    /// Further headers of the request, as those that authenticate it or say its host.
    pub headers: &'a [(String, String)],
    /// Request to explain.
    pub request: ExplainedRequest<'a>,
    /// Secret that the gateway has too.
    pub secret: &'a Secret,
    /// File with the authorities that vouch for an HTTPS gateway; absent if any certificate is taken.
    pub ca: Option<PathBuf>,
    /// Longest time for the whole.
    pub timeout: Duration,
}

/// A header by which a caller may ask a gateway for reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebugHeader {
    /// Name of the header.
    pub name: &'static str,
    /// Value of the header.
    pub value: String,
}

/// Makes a debug header that holds from now on for so long.
///
/// # Errors
/// For less than a second, and for more than any may hold.
pub fn debug_header(
    secret: &Secret,
    wish: DebugWish,
    lifetime: Duration,
) -> Result<DebugHeader, String> {
    let seconds = lifetime.as_secs();
    if !(1..=LIFETIME_MAX_SECONDS).contains(&seconds) {
        let found = humantime::format_duration(lifetime);
        let hours = LIFETIME_MAX_SECONDS / 3600;
        return Err(format!("invalid time {found}: must be from 1s to {hours}h"));
    }
    let key = DebugKey::from_secret(secret.key()).ok_or("failed to derive a key")?;
    let expires = unix_ms(SystemTime::now()) / 1000 + seconds;
    Ok(DebugHeader { name: debug::HEADER, value: key.sign(wish, expires) })
}

/// Asks a live gateway which endpoint the request would go to. The gateway sends the request nowhere.
///
/// # Errors
/// If the gateway can't be asked, or does not explain, in words.
pub async fn ask_gateway(question: GatewayQuestion<'_>) -> Result<String, String> {
    let GatewayQuestion { gateway, headers, request, secret, ca, timeout } = question;
    let fail = |why: String| format!("failed to ask {gateway}: {why}");
    let header = debug_header(secret, DebugWish::Explanation, QUESTION_LIFETIME)?;
    let mut post = Request::post(request.path)
        .header("content-type", "application/json")
        .header(header.name, header.value);
    let mut host = gateway.authority().to_owned();
    for (name, value) in headers {
        if name.eq_ignore_ascii_case(HOST.as_str()) {
            host.clone_from(value);
        } else {
            post = post.header(name, value);
        }
    }
    let body = Full::new(Bytes::copy_from_slice(request.body));
    let post = post.body(body).map_err(|why| format!("invalid request: {why}"))?;
    let settings = TlsSettings { ca, client: None, server_name: None };
    let tls = gateway.is_https().then(|| Arc::new(TlsClient::new(Arc::new(settings))));
    let peer = Peer { authority: gateway.authority().to_owned(), host, tls, http2: false };
    let mut client =
        Client::new(peer, timeout, EXPLANATION_BYTES_MAX).map_err(|why| fail(why.to_string()))?;
    let answer = client.ask(post).await.map_err(|why| fail(why.to_string()))?;
    let kind = answer.headers.get("content-type").and_then(|kind| kind.to_str().ok());
    if kind != Some(debug::MEDIA_TYPE) {
        let why = "it served the request instead of explaining it. Does it have this secret, is its clock \
                   right, and is the picker in front of this route?";
        return Err(fail(why.to_owned()));
    }
    Ok(table::written(&ToldExplanation::decode(&answer.body).map_err(fail)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_holds_for_twelve_hours_at_most() {
        let secret = Secret::new(b"0123456789abcdef").unwrap();
        let made =
            |seconds| debug_header(&secret, DebugWish::Decision, Duration::from_secs(seconds));
        assert!(made(12 * 3600).unwrap().value.starts_with("decision;expires="));
        assert_eq!(made(0).unwrap_err(), "invalid time 0s: must be from 1s to 12h");
        assert_eq!(made(43_201).unwrap_err(), "invalid time 12h 1s: must be from 1s to 12h");
    }
}
