//! What to scrape, as an operator writes it: host, port and labels.

use std::{collections::HashSet, fmt, path::PathBuf, str::FromStr};

use wire::snapshot::{ENDPOINTS_MAX, LABEL_KEY_MAX, LABEL_VALUE_MAX, LABELS_MAX};

/// Endpoints in one list: as many as one snapshot holds.
pub const TARGETS_MAX: usize = ENDPOINTS_MAX;

/// Bytes in an endpoints file, as in the EPP (file-discovery).
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// One server port, or several of them if the host is a name with several addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `HOST:PORT`, where the host is a name, an IPv4 address or an IPv6 address in brackets.
    pub authority: String,
    /// The pod's labels, sorted by key.
    pub labels: Vec<(String, String)>,
}

/// Endpoints that an operator lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Given once and for all.
    pub endpoints: Vec<Target>,
    /// A file with more, read again when it changes (see [`parse`]).
    pub file: Option<PathBuf>,
}

/// Why a list was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The line, from 1; 0 stands for the list as a whole.
    pub line: usize,
    /// What was found and what is allowed.
    pub why: String,
}

/// Reads an endpoints file: one `HOST:PORT [key=value …]` per line; `#` starts a comment.
///
/// # Errors
/// On the first line that is none, an endpoint or label key given twice, or more than
/// [`TARGETS_MAX`] endpoints.
pub fn parse(text: &str) -> Result<Vec<Target>, Unreadable> {
    let (mut targets, mut seen) = (Vec::<Target>::new(), HashSet::new());
    for (line, text) in (1..).zip(text.lines()) {
        let fail = |why| Unreadable { line, why };
        let text = text.split_once('#').map_or(text, |(text, _)| text).trim();
        if text.is_empty() {
            continue;
        }
        let target: Target = text.parse().map_err(fail)?;
        if !seen.insert(target.authority.clone()) {
            return Err(fail(format!("{} is listed twice", target.authority)));
        }
        if targets.len() == TARGETS_MAX {
            return Err(fail(format!("more than {TARGETS_MAX} endpoints")));
        }
        targets.push(target);
    }
    Ok(targets)
}

/// One line of a file, or one `--endpoint`.
impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let authority = authority(words.next().unwrap_or_default())?;
        let mut labels = words.map(label).collect::<Result<Vec<_>, _>>()?;
        labels.sort();
        if labels.len() > LABELS_MAX {
            return Err(format!("{} labels, and {LABELS_MAX} are allowed", labels.len()));
        }
        let keys = || labels.iter().map(|(key, _)| key);
        if let Some((twice, _)) = keys().zip(keys().skip(1)).find(|(one, other)| one == other) {
            return Err(format!("label {twice:?} is given twice"));
        }
        Ok(Self { authority, labels })
    }
}

fn authority(word: &str) -> Result<String, String> {
    let fail = |why: &str| format!("{word:?} is no HOST:PORT: {why}");
    if word.contains("://") {
        return Err(fail("leave out the scheme"));
    }
    let (host, port) = word.rsplit_once(':').ok_or_else(|| fail("there is no port"))?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if bare.is_none() && host.contains(':') {
        return Err(fail("an IPv6 address is written in brackets, as in [::1]:8000"));
    }
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if host.is_empty() || !bare.unwrap_or(host).chars().all(name) {
        return Err(fail("the host is neither a name nor an address"));
    }
    match port.parse::<u16>() {
        Ok(1..) => Ok(word.to_owned()),
        Ok(0) | Err(_) => Err(fail("a port is a number from 1 to 65535")),
    }
}

fn label(word: &str) -> Result<(String, String), String> {
    let (key, value) = match word.split_once('=') {
        Some((key, value)) if !key.is_empty() => (key, value),
        Some(_) | None => return Err(format!("{word:?} is no label: it must read key=value")),
    };
    // As Kubernetes has them.
    for (part, max) in [(key, LABEL_KEY_MAX), (value, LABEL_VALUE_MAX)] {
        if part.len() > max {
            return Err(format!("{part:?} has {} bytes, and {max} are allowed", part.len()));
        }
    }
    Ok((key.to_owned(), value.to_owned()))
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.why),
            line => write!(f, "line {line}: {}", self.why),
        }
    }
}

impl std::error::Error for Unreadable {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_with_comments_and_labels() {
        let text = "# prefill\n10.0.0.1:8000 llm-d.ai/role=prefill  app=a\n\n[::1]:8000 # local\nvllm.default.svc:8000 x=\n";
        let list: Vec<_> =
            parse(text).unwrap().into_iter().map(|target| format!("{target:?}")).collect();
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
        let said: Vec<_> = lines.iter().map(|line| parse(line).unwrap_err().to_string()).collect();
        insta::assert_snapshot!(said.join("\n"), @r#"
        line 1: "10.0.0.1" is no HOST:PORT: there is no port
        line 1: "10.0.0.1:http" is no HOST:PORT: a port is a number from 1 to 65535
        line 1: "10.0.0.1:0" is no HOST:PORT: a port is a number from 1 to 65535
        line 1: "10.0.0.1:65536" is no HOST:PORT: a port is a number from 1 to 65535
        line 1: "::1:8000" is no HOST:PORT: an IPv6 address is written in brackets, as in [::1]:8000
        line 1: ":8000" is no HOST:PORT: the host is neither a name nor an address
        line 1: "http://a:8000" is no HOST:PORT: leave out the scheme
        line 1: "a/metrics:8000" is no HOST:PORT: the host is neither a name nor an address
        line 1: "role" is no label: it must read key=value
        line 1: "=b" is no label: it must read key=value
        line 1: label "x" is given twice
        line 3: a:1 is listed twice
        "#);
    }

    #[test]
    fn one_endpoint_too_many_is_refused() {
        let list = |len: usize| (1..=len).map(|port| format!("a:{port}\n")).collect::<String>();
        assert_eq!(parse(&list(TARGETS_MAX)).unwrap().len(), TARGETS_MAX);
        assert_eq!(parse(&list(TARGETS_MAX + 1)).unwrap_err().line, TARGETS_MAX + 1);
    }

    /// Whatever a list holds, reading what was read gives the same again; and nothing panics.
    #[test]
    fn written_out_it_reads_the_same() {
        arbtest::arbtest(|u| {
            let words = ["a:1", "b:65535", "[::1]:9", " k=v", " j=", "#", "\n", " ", "a", ":", "="];
            let mut text = String::new();
            while !u.is_empty() {
                text.push_str(u.choose(&words)?);
            }
            let Ok(targets) = parse(&text) else { return Ok(()) };
            let mut again = String::new();
            for target in &targets {
                again.push_str(&target.authority);
                for (key, value) in &target.labels {
                    again.push_str(&format!(" {key}={value}"));
                }
                again.push('\n');
            }
            assert_eq!(parse(&again), Ok(targets));
            Ok(())
        });
    }
}
