//! An explanation as text: what would be picked, and a table of each profile's endpoints.

use std::fmt::Write as _;

use wire::explained::{ToldEndpoint, ToldExplanation, ToldGateway, ToldProfile};

use crate::peer::one_line;

/// Returns the text of an explanation. What a gateway said is a stranger's: no word of it begins a line of its own.
pub(super) fn written(told: &ToldExplanation) -> String {
    let ToldExplanation { pool, model, prompt_tokens, blocks, .. } = told;
    let model = if model.is_empty() { "none".to_owned() } else { one_line(model) };
    let pool = one_line(pool);
    let mut text =
        format!("pool {pool}, model {model}, about {prompt_tokens} tokens in {blocks} blocks\n");
    if let Some(gateway) = &told.gateway {
        let ToldGateway { in_flight, waiting, saturation, priority } = gateway;
        let _ = write!(text, "priority {priority}; the gateway has {in_flight} requests in flight");
        let _ = write!(text, " and holds {waiting}");
        if let Some(saturation) = saturation {
            let _ = write!(text, "; saturation {saturation:.2}");
        }
        text.push('\n');
    }
    if told.refused.is_empty() {
        let ranked: Vec<_> = told.ranked.iter().map(ToString::to_string).collect();
        let (first, rest) = ranked
            .split_first()
            .map_or(("no endpoint", &[][..]), |(first, rest)| (first.as_str(), rest));
        let then = if rest.is_empty() { String::new() } else { ", then ".to_owned() };
        let _ = writeln!(text, "picked {first} with {:.3}{then}{}", told.total, rest.join(", "));
    } else {
        let _ = writeln!(text, "nothing picked: {}", one_line(&told.refused));
    }
    if let Some(prefill) = told.prefill {
        let _ = writeln!(text, "the prompt is computed at {prefill}");
    }
    for profile in &told.profiles {
        let _ = writeln!(text, "\nprofile {}", one_line(&profile.name));
        table(&mut text, profile);
    }
    if told.gateway.is_none() {
        text += "\nThese are the scores of a gateway that has sent nothing yet. A gateway also counts its \
                 requests in flight, and knows where it sent which prompts: ask one with --gateway.\n";
    }
    text
}

fn table(text: &mut String, profile: &ToldProfile) {
    let mut rows = vec![vec!["endpoint".to_owned()]];
    let scorers = profile.endpoints.iter().map(|it| &it.scores).max_by_key(|scores| scores.len());
    for score in scorers.into_iter().flatten() {
        let name = one_line(&score.scorer);
        rows.iter_mut().for_each(|row| row.push(format!("{name} x{}", score.weight)));
    }
    let last = ["total", "in flight", "cached tokens", "backlog", "first token"].map(str::to_owned);
    rows.iter_mut().for_each(|row| row.extend(last.clone()));
    rows.extend(profile.endpoints.iter().map(row));
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max();
    let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let _ = writeln!(text, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    if profile.left_out > 0 {
        let _ = writeln!(text, "  and {} more endpoints", profile.left_out);
    }
}

fn row(it: &ToldEndpoint) -> Vec<String> {
    let mut row = vec![it.endpoint.to_string()];
    match it.total {
        Some(total) => {
            row.extend(it.scores.iter().map(|it| format!("{:.3}", it.score)));
            row.push(format!("{total:.3}"));
            row.push(it.in_flight.to_string());
            row.push(it.cached_tokens.to_string());
            row.extend([it.backlog, it.ttft].map(|it| format!("{:.0} ms", it * 1e3)));
        }
        None => row.push(format!("dropped by {}", one_line(&it.dropped_by))),
    }
    row
}
