//! The requests that are for a pool.

use super::{At, ConfigError};

/// Rule for the requests that are for a pool. A field that is `None`, or empty, fits every request.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Match {
    /// Cluster of Envoy's route.
    pub cluster: Option<String>,
    /// Host that is asked for, in lower case and without a port; `*.` in front stands for any
    /// labels.
    pub host: Option<String>,
    /// Beginning of the path.
    pub path_prefix: Option<String>,
    /// Models that are asked for.
    pub models: Vec<String>,
}

/// Destination of a request by its headers.
#[derive(Clone, Copy, Debug)]
pub struct Destined<'a> {
    /// `:authority`.
    pub host: &'a [u8],
    /// `:path`.
    pub path: &'a [u8],
    /// Cluster of Envoy's route.
    pub cluster: &'a [u8],
}

impl Match {
    /// True if a request with such headers may be for this pool; its model is still to fit.
    #[must_use]
    pub fn fits(&self, request: Destined<'_>) -> bool {
        let cluster = self.cluster.as_ref();
        let path = self.path_prefix.as_ref();
        cluster.is_none_or(|cluster| cluster.as_bytes() == request.cluster)
            && path.is_none_or(|prefix| begins_with(request.path, prefix.as_bytes()))
            && self.host.as_ref().is_none_or(|host| is_host(host, request.host))
    }

    /// True if a request for this model may be for this pool.
    #[must_use]
    pub fn fits_model(&self, model: Option<&str>) -> bool {
        self.models.is_empty() || self.models.iter().any(|named| Some(&**named) == model)
    }
}

/// True if a path begins with the whole parts of another, as by a PathPrefix of the Gateway API:
/// `/v1` fits `/v1` and `/v1/x`, but not `/v11`.
fn begins_with(path: &[u8], prefix: &[u8]) -> bool {
    let prefix = prefix.strip_suffix(b"/").unwrap_or(prefix);
    let Some(rest) = path.strip_prefix(prefix) else { return false };
    matches!(rest.first(), None | Some(b'/' | b'?'))
}

fn is_host(wanted: &str, found: &[u8]) -> bool {
    let found = without_port(found);
    match wanted.strip_prefix('*') {
        Some(dot_and_rest) => found
            .len()
            .checked_sub(dot_and_rest.len())
            .filter(|rest| *rest > 0)
            .and_then(|at| found.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(dot_and_rest.as_bytes())),
        None => found.eq_ignore_ascii_case(wanted.as_bytes()),
    }
}

pub(super) fn without_port(host: &[u8]) -> &[u8] {
    let Some(colon) = host.iter().rposition(|byte| *byte == b':') else { return host };
    let (name, port) = host.split_at(colon);
    let is_port = port.len() > 1 && port.iter().skip(1).all(u8::is_ascii_digit);
    if is_port { name } else { host }
}

pub(super) fn read(at: &At<'_>) -> Result<Match, ConfigError> {
    let object = at.object(&["cluster", "host", "pathPrefix", "model"])?;
    let text = |at: &At<'_>| at.text().map(|text| Some(text.to_owned()));
    Ok(Match {
        cluster: object.read("cluster", None, text)?,
        host: object.read("host", None, |at| host(at).map(Some))?,
        path_prefix: object.read("pathPrefix", None, |at| path(at).map(Some))?,
        models: object.read("model", Vec::new(), models)?,
    })
}

fn host(at: &At<'_>) -> Result<String, ConfigError> {
    let host = at.text()?;
    let rest = host.strip_prefix("*.").unwrap_or(host);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-[]:_".contains(&byte);
    if rest.bytes().all(allowed) && without_port(rest.as_bytes()).len() == rest.len() {
        return Ok(host.to_ascii_lowercase());
    }
    Err(at.refuse("a host without a port, or one that begins with \"*.\""))
}

fn path(at: &At<'_>) -> Result<String, ConfigError> {
    let path = at.text()?;
    if path.starts_with('/') {
        return Ok(path.to_owned());
    }
    Err(at.refuse("a path that begins with \"/\""))
}

/// Reads one name, or a list of names.
fn models(at: &At<'_>) -> Result<Vec<String>, ConfigError> {
    if let Ok(name) = at.text() {
        return Ok(vec![name.to_owned()]);
    }
    at.list()?.iter().map(|at| at.text().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(matches: &Match, host: &str, path: &str) -> bool {
        matches.fits(Destined { host: host.as_bytes(), path: path.as_bytes(), cluster: b"llama" })
    }

    #[test]
    fn paths_fit_by_whole_parts() {
        let of = |prefix: &str| Match { path_prefix: Some(prefix.into()), ..Match::default() };
        for path in ["/a", "/a/", "/a/v1", "/a?x=/b"] {
            assert!(fits(&of("/a"), "h", path) && fits(&of("/"), "h", path), "{path}");
        }
        for path in ["/ab", "/", "", "/A/v1"] {
            assert!(!fits(&of("/a"), "h", path), "{path}");
        }
    }

    #[test]
    fn hosts_fit_in_any_case_and_with_any_port() {
        let of = |host: &str| Match { host: Some(host.into()), ..Match::default() };
        assert!(["a.b", "A.B", "a.b:80"].iter().all(|host| fits(&of("a.b"), host, "/")));
        assert!(["x.a.b", "a.b.", "a.b:80x", ""].iter().all(|host| !fits(&of("a.b"), host, "/")));
        assert!(["x.a.b", "y.x.A.b:1"].iter().all(|host| fits(&of("*.a.b"), host, "/")));
        assert!(["a.b", ".a.b.c", "xa.b"].iter().all(|host| !fits(&of("*.a.b"), host, "/")));
    }

    #[test]
    fn everything_that_is_named_has_to_fit() {
        let all = Match {
            cluster: Some("llama".into()),
            host: Some("h".into()),
            path_prefix: Some("/a".into()),
            models: vec!["m".into(), "n".into()],
        };
        assert!(fits(&all, "h", "/a") && !fits(&all, "h", "/b") && !fits(&all, "i", "/a"));
        let other = Match { cluster: Some("other".into()), ..all.clone() };
        assert!(!fits(&other, "h", "/a"));
        assert!(all.fits_model(Some("n")) && !all.fits_model(Some("o")) && !all.fits_model(None));
        assert!(Match::default().fits_model(None) && fits(&Match::default(), "", ""));
    }
}
