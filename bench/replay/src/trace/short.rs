//! The short form in which traces come with the bench; `data/README.md` describes it.

use std::{ops::RangeInclusive, time::Duration};

use anyhow::{Context, Result, bail};

use super::{Claims, Numbering, Request, Trace};

/// Reads a trace.
pub(super) fn read(text: &str) -> Result<Trace> {
    let mut numbering = Numbering::default();
    let mut at = Duration::ZERO;
    let mut requests = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let request = request(line, at, &mut numbering);
        let request = request.with_context(|| format!("line {}: {line:?}", number + 1))?;
        at = request.at;
        requests.push(request);
    }
    Ok(Trace { requests, ..Trace::default() })
}

fn request(line: &str, before: Duration, numbering: &mut Numbering) -> Result<Request> {
    let mut words = line.split(' ');
    let mut number = |what| words.next().with_context(|| format!("no {what}"));
    let at = before + Duration::from_millis(number("time")?.parse()?);
    let prompt = number("prompt tokens")?.parse()?;
    let answer = number("answer tokens")?.parse::<usize>()?.max(1);
    let mut seen = Vec::new();
    for run in words {
        seen.extend(range(run)?);
    }
    let blocks = numbering.continue_from(seen, prompt);
    Ok(Request { at, prompt, answer, blocks, claims: Claims::default() })
}

fn range(run: &str) -> Result<RangeInclusive<u64>> {
    let (first, last) = run.split_once('-').unwrap_or((run, run));
    let first = first.parse()?;
    let last = last.parse()?;
    if first > last {
        bail!("a range that ends before it begins: {run}");
    }
    Ok(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_are_new_are_numbered_on() {
        let trace = read("0 1000 3\n20 1600 0 0 1\n5 2000 9 0-2").unwrap();
        let blocks: Vec<&[u64]> = trace.requests.iter().map(|it| it.blocks.as_slice()).collect();
        assert_eq!(blocks, [&[0, 1][..], &[0, 1, 2, 3], &[0, 1, 2, 4]]);
        assert_eq!(trace.requests[2].at, Duration::from_millis(25));
        assert_eq!(trace.requests[1].answer, 1, "an answer has a token");
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = read("0 1000 3\n0 10").unwrap_err();
        assert_eq!(format!("{error:#}"), "line 2: \"0 10\": no answer tokens");
    }
}
