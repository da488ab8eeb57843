//! Endpoints as an operator writes them: host, port and labels.

use std::{collections::HashSet, fmt, path::PathBuf, str::FromStr};

use wire::snapshot::{ENDPOINTS_MAX, LABEL_KEY_MAX, LABEL_VALUE_MAX, LABELS_MAX};

/// Endpoints in one list: as many as one snapshot holds.
pub(crate) const TARGETS_MAX: usize = ENDPOINTS_MAX;

/// Bytes in an endpoints file, as in the EPP (file-discovery).
pub(crate) const ENDPOINTS_FILE_BYTES_MAX: usize = 1 << 20;

/// A server port, or several of them if the host is a name with several addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `HOST:PORT`, where the host is a name, an IPv4 address or an IPv6 address in brackets.
    pub authority: String,
    /// Labels of the pod, sorted by key.
    pub labels: Vec<(String, String)>,
}

/// Endpoints that an operator lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedEndpoints {
    /// Endpoints given at start.
    pub endpoints: Vec<Target>,
    /// File with more of them, read again when it changes.
    pub file: Option<PathBuf>,
}

/// The first fault in an endpoints file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointsError {
    /// Number of the line, from 1.
    line: usize,
    why: String,
}

/// Reads an endpoints file: one `HOST:PORT [key=value …]` per line; `#` starts a comment.
///
/// # Errors
/// On the first line that can't be read, an endpoint or label key given twice, or more than
/// [`TARGETS_MAX`] endpoints.
pub(crate) fn parse_endpoints(text: &str) -> Result<Vec<Target>, EndpointsError> {
    let mut targets = Vec::<Target>::new();
    let mut seen = HashSet::new();
    for (line, text) in (1..).zip(text.lines()) {
        let fail = |why| EndpointsError { line, why };
        let text = text.split_once('#').map_or(text, |(text, _)| text).trim();
        if text.is_empty() {
            continue;
        }
        let target: Target = text.parse().map_err(fail)?;
        if !seen.insert(target.authority.clone()) {
            let twice = target.authority;
            return Err(fail(format!("invalid endpoint {twice:?}: must be listed only once")));
        }
        if targets.len() == TARGETS_MAX {
            return Err(fail(format!("too many endpoints; allowed: {TARGETS_MAX} or fewer")));
        }
        targets.push(target);
    }
    Ok(targets)
}

/// Reads one line of a file, or one `--endpoint`.
impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let authority = authority(words.next().unwrap_or_default())?;
        let mut labels = words.map(label).collect::<Result<Vec<_>, _>>()?;
        labels.sort();
        if labels.len() > LABELS_MAX {
            return Err(format!("found {} labels; allowed: {LABELS_MAX} or fewer", labels.len()));
        }
        let keys = || labels.iter().map(|(key, _)| key);
        if let Some((twice, _)) = keys().zip(keys().skip(1)).find(|(one, other)| one == other) {
            return Err(format!("invalid label {twice:?}: must be given only once"));
        }
        Ok(Self { authority, labels })
    }
}

fn authority(word: &str) -> Result<String, String> {
    let fail = |why: &str| format!("invalid endpoint {word:?}: {why}");
    if word.contains("://") {
        return Err(fail("must be HOST:PORT, without a scheme"));
    }
    let (host, port) =
        word.rsplit_once(':').ok_or_else(|| fail("must be HOST:PORT; found no port"))?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if bare.is_none() && host.contains(':') {
        return Err(fail("must have an IPv6 address in brackets, as in [::1]:8000"));
    }
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if host.is_empty() || !bare.unwrap_or(host).chars().all(name) {
        return Err(fail("must have a name or an IP address as its host"));
    }
    match port.parse::<u16>() {
        Ok(1..) => Ok(word.to_owned()),
        Ok(0) | Err(_) => Err(fail("must have a port from 1 to 65535")),
    }
}

fn label(word: &str) -> Result<(String, String), String> {
    let (key, value) = match word.split_once('=') {
        Some((key, value)) if !key.is_empty() => (key, value),
        Some(_) | None => return Err(format!("invalid label {word:?}: must be key=value")),
    };
    // Kubernetes has the same bounds.
    for (part, max) in [(key, LABEL_KEY_MAX), (value, LABEL_VALUE_MAX)] {
        if part.len() > max {
            let found = part.len();
            return Err(format!("invalid label {part:?}: found {found} bytes; allowed: {max}"));
        }
    }
    Ok((key.to_owned(), value.to_owned()))
}

impl fmt::Display for EndpointsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for EndpointsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_with_comments_and_labels() {
        let text = "# prefill\n10.0.0.1:8000 llm-d.ai/role=prefill  app=a\n\n[::1]:8000 # local\nvllm.default.svc:8000 x=\n";
        let list: Vec<_> = parse_endpoints(text)
            .unwrap()
            .into_iter()
            .map(|target| format!("{target:?}"))
            .collect();
        insta::assert_snapshot!(list.join("\n"), @r#"
        Target { authority: "10.0.0.1:8000", labels: [("app", "a"), ("llm-d.ai/role", "prefill")] }
        Target { authority: "[::1]:8000", labels: [] }
        Target { authority: "vllm.default.svc:8000", labels: [("x", "")] }
        "#);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let lines = [
            "10.0.0.1",
            "10.0.0.1:http",
            "10.0.0.1:0",
            "10.0.0.1:65536",
            "::1:8000",
            ":8000",
            "http://a:8000",
            "a/metrics:8000",
            "a:1 role",
            "a:1 =b",
            "a:1 x=1 x=2",
            "a:1\nb:1\na:1 x=2",
        ];
        let said: Vec<_> =
            lines.iter().map(|line| parse_endpoints(line).unwrap_err().to_string()).collect();
        insta::assert_snapshot!(said.join("\n"), @r#"
        line 1: invalid endpoint "10.0.0.1": must be HOST:PORT; found no port
        line 1: invalid endpoint "10.0.0.1:http": must have a port from 1 to 65535
        line 1: invalid endpoint "10.0.0.1:0": must have a port from 1 to 65535
        line 1: invalid endpoint "10.0.0.1:65536": must have a port from 1 to 65535
        line 1: invalid endpoint "::1:8000": must have an IPv6 address in brackets, as in [::1]:8000
        line 1: invalid endpoint ":8000": must have a name or an IP address as its host
        line 1: invalid endpoint "http://a:8000": must be HOST:PORT, without a scheme
        line 1: invalid endpoint "a/metrics:8000": must have a name or an IP address as its host
        line 1: invalid label "role": must be key=value
        line 1: invalid label "=b": must be key=value
        line 1: invalid label "x": must be given only once
        line 3: invalid endpoint "a:1": must be listed only once
        "#);
    }

    #[test]
    fn one_endpoint_too_many_is_refused() {
        let list = |len: usize| (1..=len).map(|port| format!("a:{port}\n")).collect::<String>();
        assert_eq!(parse_endpoints(&list(TARGETS_MAX)).unwrap().len(), TARGETS_MAX);
        assert_eq!(parse_endpoints(&list(TARGETS_MAX + 1)).unwrap_err().line, TARGETS_MAX + 1);
    }

    /// A list of any content, written out as it was read, reads the same again; and nothing panics.
    #[test]
    fn written_out_it_reads_the_same() {
        arbtest::arbtest(|u| {
            let words = ["a:1", "b:65535", "[::1]:9", " k=v", " j=", "#", "\n", " ", "a", ":", "="];
            let mut text = String::new();
            while !u.is_empty() {
                text.push_str(u.choose(&words)?);
            }
            let Ok(targets) = parse_endpoints(&text) else { return Ok(()) };
            let mut again = String::new();
            for target in &targets {
                again.push_str(&target.authority);
                for (key, value) in &target.labels {
                    again.push_str(&format!(" {key}={value}"));
                }
                again.push('\n');
            }
            assert_eq!(parse_endpoints(&again), Ok(targets));
            Ok(())
        });
    }
}
