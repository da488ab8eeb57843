//! The prefix index beside those of other routers, each run by `bench/micro/` in a process of its own.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    report::{Report, Table},
    summary::Rounds,
};

/// Number of blocks of 16 tokens over all workers. The most of these are a million of our own
/// blocks of 64 tokens.
const BLOCKS: [usize; 3] = [100_000, 1_000_000, 4_000_000];

/// Number of prompts that are looked up, those which come next in the trace.
const LOOKUPS: usize = 500;

/// An index, its input and its output.
struct Index {
    name: &'static str,
    title: &'static str,
    answers: &'static str,
}

const INDEXES: [Index; 6] = [
    Index { name: "llm-picker", title: "llm-picker", answers: "text; each worker's match" },
    Index {
        name: "text-tree",
        title: "kv-index StringTree",
        answers: "text; the longest match and who has it",
    },
    Index {
        name: "token-tree",
        title: "kv-index TokenTree",
        answers: "tokens; the longest match and who has it",
    },
    Index {
        name: "chain-index",
        title: "kv-index ChainIndex",
        answers: "tokens and events; each worker's match",
    },
    Index {
        name: "dynamo-tree",
        title: "Dynamo RadixTree",
        answers: "tokens and events; each worker's match",
    },
    Index {
        name: "dynamo-pool",
        title: "Dynamo ConcurrentRadixTreeCompressed",
        answers: "tokens and events; each worker's match",
    },
];

/// Adds the tables, and returns the raw figures.
pub(super) fn measure(report: &mut Report, program: &Path, rounds: usize) -> Result<Value> {
    report.say(format!(
        "Prefix indexes: the conversation trace of `replay` over eight workers, until they hold so many blocks of 16 tokens; \
         then the next {LOOKUPS} prompts are looked up. Found is the share of their tokens that some worker holds. A prompt's time is \
         the median of its rounds, and the table has the mean and the p99 over the prompts: inserts of the second half of the \
         fill, with what a growing table costs. Memory is what the process gained while it was filled. Nothing is evicted."
    ));
    let mut raw = Vec::new();
    for blocks in BLOCKS {
        let mut found: Vec<Vec<Value>> = INDEXES.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds {
            for (index, found) in INDEXES.iter().zip(&mut found) {
                found.push(ask(program, index.name, blocks)?);
            }
        }
        report.show(table(blocks, &found));
        let rows = INDEXES.iter().zip(&found);
        let rows: Vec<Value> =
            rows.map(|(index, rounds)| json!({"index": index.name, "rounds": rounds})).collect();
        raw.push(json!({"blocks": blocks, "rows": rows}));
    }
    Ok(Value::from(raw))
}

/// Runs one round of one row.
fn ask(program: &Path, index: &str, blocks: usize) -> Result<Value> {
    let command = || program.display().to_string();
    let output = Command::new(program)
        .args([index, &blocks.to_string(), &LOOKUPS.to_string()])
        .output()
        .with_context(command)?;
    ensure!(output.status.success(), "{index}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).with_context(command)
}

fn table(blocks: usize, found: &[Vec<Value>]) -> Table {
    let one = |name: &str| found.iter().flatten().find_map(|figures| figures.get(name)?.as_u64());
    let title =
        format!("{} blocks in {} prompts", thousands(blocks), one("prompts").unwrap_or_default());
    let lookup =
        format!("lookup, µs a prompt of {} tokens", one("prompt_tokens").unwrap_or_default());
    let mut table = Table::new(&[
        &title,
        "is given; says",
        "found",
        "hash, µs",
        &lookup,
        "p99",
        "insert, µs",
        "p99",
        "memory, MB",
        "bytes a block",
    ]);
    for (index, rounds) in INDEXES.iter().zip(found) {
        let median = |name: &str| {
            let figure = |figures: &Value| figures.get(name).and_then(Value::as_f64);
            Rounds::new(rounds.iter().filter_map(figure)).median()
        };
        let memory = median("memory_bytes");
        let [hash, lookup, insert] =
            ["hash_us", "lookup_us", "insert_us"].map(|name| typical(rounds, name));
        table.row(&[
            index.title.to_owned(),
            index.answers.to_owned(),
            format!("{:.1} %", 100.0 * median("found")),
            format!("{:.1}", mean(&hash)),
            format!("{:.1}", mean(&lookup)),
            format!("{:.0}", p99(&lookup)),
            format!("{:.0}", mean(&insert)),
            format!("{:.0}", p99(&insert)),
            format!("{:.1}", memory / 1e6),
            format!("{:.0}", memory / blocks as f64),
        ]);
    }
    table
}

/// Returns each prompt's time, the median of the rounds, which all had the same prompts; ascending.
fn typical(rounds: &[Value], name: &str) -> Vec<f64> {
    let times = |round: &Value| -> Vec<f64> {
        let times = round.get(name).and_then(Value::as_array);
        times.map(|times| times.iter().filter_map(Value::as_f64).collect()).unwrap_or_default()
    };
    let rounds: Vec<Vec<f64>> = rounds.iter().map(times).collect();
    let prompts = rounds.first().map_or(0, Vec::len);
    let of = |prompt: usize| rounds.iter().filter_map(move |round| round.get(prompt).copied());
    let mut typical: Vec<f64> =
        (0..prompts).map(|prompt| Rounds::new(of(prompt)).median()).collect();
    typical.sort_by(f64::total_cmp);
    typical
}

fn mean(times: &[f64]) -> f64 {
    times.iter().sum::<f64>() / times.len() as f64
}

/// Returns the 99th percentile of times in ascending order.
fn p99(times: &[f64]) -> f64 {
    let rank = (times.len() * 99).div_ceil(100).saturating_sub(1);
    times.get(rank).copied().unwrap_or(f64::NAN)
}

/// Writes a number with a comma every three digits.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_the_median_of_its_rounds() {
        // The second prompt had bad luck in the first round.
        let round = |memory: u64, second: f64| {
            json!({"prompts": 7, "prompt_tokens": 900, "found": 0.5, "memory_bytes": memory,
                "hash_us": [1.0, 1.0], "lookup_us": [2.0, second], "insert_us": [4.0, 8.0]})
        };
        let found =
            vec![vec![round(1_000_000, 99.0), round(3_000_000, 3.0), round(2_000_000, 3.0)]];
        let mut report = Report::begin("test");
        report.show(table(100_000, &found));
        let text = report.markdown();
        assert!(text.contains("| 100,000 blocks in 7 prompts |"), "{text}");
        assert!(text.contains("| 50.0 % | 1.0 | 2.5 | 3 | 6 | 8 | 2.0 | 20 |"), "{text}");
    }

    #[test]
    fn numbers_have_commas() {
        assert_eq!([0, 999, 1_000, 4_000_000].map(thousands), ["0", "999", "1,000", "4,000,000"]);
    }
}
