//! The question whether a scraper is ready, for where there is neither a shell nor curl: its own image has no other program.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;

use crate::peer::{Client, Peer};

/// Path of the page that says whether a scraper is ready.
const PATH: &str = "/readyz";

/// Bytes of the longest answer: the page has a line for each gateway and pool, of which the first ones will do.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Asks the scraper at `HOST:PORT` whether it is ready, and returns what it says.
///
/// # Errors
/// If it is not ready or can't be asked, in words.
pub async fn ready(authority: &str, timeout: Duration) -> Result<String, String> {
    let fail = |why: &dyn std::fmt::Display| format!("{authority} is not ready: {why}");
    let (authority, host) = (authority.to_owned(), authority.to_owned());
    let peer = Peer { authority, host, tls: None, http2: false };
    let mut client = Client::new(peer, timeout, ANSWER_BYTES_MAX).map_err(|why| fail(&why))?;
    let request = Request::get(PATH).body(Full::<Bytes>::default()).map_err(|why| fail(&why))?;
    let answer = client.ask(request).await.map_err(|why| fail(&why))?;
    Ok(String::from_utf8_lossy(&answer.body).into_owned())
}
