//! Traces in the form in which they were published.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Claims, Numbering, Request, Trace};

/// Reads Mooncake's form: an object a line.
pub(super) fn mooncake(text: &str) -> Result<Trace> {
    let mut requests = Vec::new();
    for (number, line) in text.lines().filter(|line| !line.is_empty()).enumerate() {
        let request = mooncake_request(line);
        requests.push(request.with_context(|| format!("request {}: {line:?}", number + 1))?);
    }
    requests.sort_by_key(|request: &Request| request.at);
    Ok(Trace { requests, ..Trace::default() })
}

fn mooncake_request(line: &str) -> Result<Request> {
    let row: Value = serde_json::from_str(line)?;
    let number = |name: &str| {
        let found = row.get(name).unwrap_or(&Value::Null);
        found.as_u64().with_context(|| format!("no whole number {name:?}, found {found}"))
    };
    let ids = row.get("hash_ids").and_then(Value::as_array).context("no list \"hash_ids\"")?;
    let blocks = ids.iter().map(|id| id.as_u64().with_context(|| format!("bad hash id {id}")));
    Ok(Request {
        at: Duration::from_millis(number("timestamp")?),
        prompt: usize::try_from(number("input_length")?)?,
        answer: usize::try_from(number("output_length")?.max(1))?,
        blocks: blocks.collect::<Result<_>>()?,
        claims: Claims::default(),
    })
}

/// Reads Azure's form: `TIMESTAMP,ContextTokens,GeneratedTokens`, of one day.
pub(super) fn azure(text: &str) -> Result<Trace> {
    let mut numbering = Numbering::default();
    let mut requests: Vec<Request> = Vec::new();
    let mut begin = None;
    for (number, line) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.is_empty()) {
        let row = azure_row(line).with_context(|| format!("line {}: {line:?}", number + 1))?;
        let (at, prompt, answer) = row;
        let at = at.saturating_sub(*begin.get_or_insert(at));
        let blocks = numbering.continue_from(Vec::new(), prompt);
        let claims = Claims::default();
        requests.push(Request { at, prompt, answer: answer.max(1), blocks, claims });
    }
    requests.sort_by_key(|request| request.at);
    Ok(Trace { requests, ..Trace::default() })
}

/// Reads the time since midnight, prompt tokens and answer tokens.
fn azure_row(line: &str) -> Result<(Duration, usize, usize)> {
    let mut cells = line.trim().split(',');
    let mut cell = |what| cells.next().with_context(|| format!("no {what}"));
    let (_, time) = cell("TIMESTAMP")?.split_once(' ').context("no time of day")?;
    let mut parts = time.split(':').map(str::parse::<f64>);
    let mut part = |what| parts.next().with_context(|| format!("no {what}"))?.context("no number");
    let seconds = part("hour")? * 3600.0 + part("minute")? * 60.0 + part("second")?;
    let at = Duration::try_from_secs_f64(seconds)?;
    Ok((at, cell("ContextTokens")?.parse()?, cell("GeneratedTokens")?.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mooncake_is_read() {
        let line =
            r#"{"timestamp": 3000, "input_length": 700, "output_length": 0, "hash_ids": [0, 7]}"#;
        let expected = Request {
            at: Duration::from_secs(3),
            prompt: 700,
            answer: 1,
            blocks: vec![0, 7],
            claims: Claims::default(),
        };
        assert_eq!(mooncake(line).unwrap().requests, [expected]);
    }

    #[test]
    fn azure_is_read() {
        let text = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n\
                    2023-11-16 18:15:46.5000000,374,44\r\n2023-11-16 18:15:47.7500000,600,109\r\n";
        let requests = azure(text).unwrap().requests;
        assert_eq!(requests[1].at, Duration::from_millis(1250));
        assert_eq!((requests[0].blocks.clone(), requests[1].blocks.clone()), (vec![0], vec![1, 2]));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = mooncake(r#"{"timestamp": 1}"#).unwrap_err();
        assert!(format!("{error:#}").contains("no list \"hash_ids\""), "{error:#}");
    }
}
