//! A prefix index under a trace, in a process of its own so that its memory is what the process
//! gained: `llm-picker-micro INDEX BLOCKS LOOKUPS` prints the figures as JSON. `build.sh bench
//! micro` runs them in turn.
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

mod clock;
mod contender;
mod memory;
mod plan;
mod prompt;

use std::{env, process::ExitCode};

use contender::{
    Contender, chain_index::Chains, dynamo::Tree, dynamo_pool::Pool, ours::Ours, text_tree::Texts,
    token_tree::Tokens,
};
use serde_json::{Value, json};

use crate::{clock::Times, plan::Plan, prompt::Prompt};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match figures(&args) {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("llm-picker-micro: {error}");
            ExitCode::FAILURE
        }
    }
}

fn figures(args: &[String]) -> Result<Value, String> {
    let [index, blocks, lookups] = args else {
        return Err("llm-picker-micro INDEX BLOCKS LOOKUPS".to_owned());
    };
    let number = |text: &str| text.parse().map_err(|error| format!("{text}: {error}"));
    let plan = Plan::of_trace(number(blocks)?, number(lookups)?)?;
    match index.as_str() {
        "llm-picker" => measure(&plan, Ours::new),
        "text-tree" => measure(&plan, Texts::new),
        "token-tree" => measure(&plan, Tokens::new),
        "chain-index" => measure(&plan, Chains::new),
        "dynamo-tree" => measure(&plan, Tree::new),
        "dynamo-pool" => measure(&plan, Pool::new),
        other => Err(format!(
            "no index '{other}'. There are: llm-picker, text-tree, token-tree, chain-index, dynamo-tree, dynamo-pool"
        )),
    }
}

/// Fills the index, with a clock on the second half, then asks it for the prompts that come next.
fn measure<C: Contender>(plan: &Plan, new: fn() -> C) -> Result<Value, String> {
    let before = memory::resident()?;
    let mut index = new();
    let mut inserts = Times::default();
    for (number, placed) in plan.fill.iter().enumerate() {
        let prompt = Prompt::from_request(&placed.request);
        let news = index.news(&prompt, placed);
        let insert = || index.insert(&prompt, news, placed.worker);
        if number < plan.fill.len() / 2 {
            Times::default().time(insert)?;
        } else {
            inserts.time(insert)?;
        }
    }
    let gained = memory::resident()?.saturating_sub(before);
    let mut hashes = Times::default();
    let mut lookups = Times::default();
    let mut tokens = 0;
    let mut found = 0;
    for request in &plan.next {
        let prompt = Prompt::from_request(request);
        let key = hashes.time(|| index.key(&prompt));
        found += lookups.time(|| index.longest(&key));
        tokens += prompt.tokens.len();
    }
    Ok(json!({
        "prompts": plan.fill.len(),
        "blocks": plan.blocks,
        "memory_bytes": gained,
        "insert_us": inserts.micros(),
        "hash_us": hashes.micros(),
        "lookup_us": lookups.micros(),
        "prompt_tokens": tokens / plan.next.len().max(1),
        "found": found as f64 / tokens.max(1) as f64,
    }))
}
