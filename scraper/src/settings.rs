//! What a scraper is told at start, already checked.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use hyper::Uri;
use wire::push;

use crate::{objectives::Objectives, targets::Target};

/// The shortest secret taken: 128 bits, below which a signature could be guessed.
pub const SECRET_BYTES_MIN: usize = 16;

/// Everything that [`crate::Scraper::start`] needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The pool's name, as in the plugin's configuration.
    pub pool: String,
    /// Endpoints given once and for all.
    pub endpoints: Vec<Target>,
    /// A file with more, read again when it changes (see [`crate::targets::parse`]).
    pub endpoints_file: Option<PathBuf>,
    /// What every snapshot says of requests' priorities.
    pub objectives: Objectives,
    /// Who gets snapshots.
    pub envoys: Vec<EnvoyUrl>,
    /// Between two scrapes of a pod, and between two pushes.
    pub interval: Duration,
    /// For one scrape or push, connecting included.
    pub timeout: Duration,
    /// Where the scraper's own pages are served; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Signs the pushes.
    pub secret: Secret,
}

/// The secret that scraper and Envoys share. Its `Debug` form does not show it.
#[derive(Clone)]
pub struct Secret(push::Secret);

impl Secret {
    /// # Errors
    /// If it has fewer than [`SECRET_BYTES_MIN`] bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, String> {
        match push::Secret::new(bytes) {
            Some(key) if bytes.len() >= SECRET_BYTES_MIN => Ok(Self(key)),
            Some(_) | None => Err(format!(
                "it has {} bytes, and must have {SECRET_BYTES_MIN} or more",
                bytes.len()
            )),
        }
    }

    pub(crate) const fn key(&self) -> &push::Secret {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The ingest listener of one Envoy: `http://HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvoyUrl {
    authority: String,
}

impl EnvoyUrl {
    /// `HOST:PORT`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl FromStr for EnvoyUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fail = |why: &str| format!("{text:?} is no Envoy: {why}");
        let uri: Uri = text.parse().map_err(|why| fail(&format!("{why}")))?;
        if uri.scheme_str() != Some("http") {
            return Err(fail("it must begin with http://"));
        }
        let authority = uri.authority().ok_or_else(|| fail("there is no host"))?;
        if authority.as_str().contains('@') {
            return Err(fail("leave out the user: pushes are signed with the secret"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(fail("leave out the path: it is always /v1/snapshot"));
        }
        let port = authority.port_u16().unwrap_or(80);
        Ok(Self { authority: format!("{}:{port}", authority.host()) })
    }
}

impl fmt::Display for EnvoyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envoy_is_a_scheme_a_host_and_a_port() {
        let read = |text: &str| match text.parse::<EnvoyUrl>() {
            Ok(url) => url.to_string(),
            Err(why) => why,
        };
        let texts = [
            "http://127.0.0.1:9901",
            "http://gateway/",
            "http://[::1]:9901",
            "https://gateway:443",
            "gateway:9901",
            "http://gateway/v1/snapshot",
            "http://me@gateway",
            "",
        ];
        insta::assert_snapshot!(texts.map(read).join("\n"), @r#"
        http://127.0.0.1:9901
        http://gateway:80
        http://[::1]:9901
        "https://gateway:443" is no Envoy: it must begin with http://
        "gateway:9901" is no Envoy: it must begin with http://
        "http://gateway/v1/snapshot" is no Envoy: leave out the path: it is always /v1/snapshot
        "http://me@gateway" is no Envoy: leave out the user: pushes are signed with the secret
        "" is no Envoy: empty string
        "#);
    }

    #[test]
    fn a_short_secret_is_refused_and_a_long_one_not_shown() {
        assert!(Secret::new(&[b'x'; SECRET_BYTES_MIN - 1]).is_err());
        let secret = Secret::new(&[b'x'; SECRET_BYTES_MIN]).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret");
    }
}
