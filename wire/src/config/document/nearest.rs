//! The names that were probably meant by one that is not known.

use crate::config::ConfigError;

/// Names that an error lists in full. Of a longer list those alone are told that are near.
const NAMES_MAX: usize = 20;

/// Letters by which a name may differ from the one that was meant: a slip, or two.
const SLIPS_MAX: usize = 2;

/// Returns a fault in words, of which names that are near to the one found come first.
pub(super) fn advised(fault: &ConfigError) -> String {
    let Some(names) = &fault.names else { return fault.to_string() };
    let found = fault.found.as_deref().map(|found| found.trim_matches('"'));
    // An unknown key stands at the end of its path.
    let found = found.or_else(|| fault.path.rsplit('.').next()).unwrap_or_default();
    let mut ranked: Vec<(usize, &str)> =
        names.iter().map(|name| (distance(found, name), name.as_str())).collect();
    ranked.sort_by_key(|(distance, _)| *distance);
    let meant = ranked.first().filter(|(distance, name)| *distance <= allowed(name));
    let Some((_, meant)) = meant else { return fault.to_string() };
    let is_long = ranked.len() > NAMES_MAX;
    let near = ranked.iter().filter(|(distance, _)| !is_long || *distance <= SLIPS_MAX);
    let listed: Vec<&str> = near.map(|(_, name)| *name).collect();
    let more = match ranked.len() - listed.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let rule = ConfigError { names: None, ..fault.clone() };
    format!("{rule}; did you mean {meant:?}? allowed: {}{more}", listed.join(", "))
}

/// Returns the slips that a name of this length may have been written with.
fn allowed(name: &str) -> usize {
    if name.len() < 5 { 1 } else { SLIPS_MAX }
}

/// Returns the slips between two names: letters too many, too few, changed, or in the place of their
/// neighbours; capitals and hyphens do not count, and a part of a name up to a hyphen is one slip.
fn distance(found: &str, name: &str) -> usize {
    let is_part = !found.is_empty()
        && name.split_once('-').is_some_and(|(first, _)| first.eq_ignore_ascii_case(found));
    if is_part {
        return 1;
    }
    let letters = |text: &str| -> Vec<char> {
        let letters = text.chars().filter(|letter| !['-', '_'].contains(letter));
        letters.map(|letter| letter.to_ascii_lowercase()).collect()
    };
    slips(&letters(found), &letters(name))
}

/// Returns the optimal string alignment distance.
fn slips(one: &[char], other: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, against) in other.iter().enumerate() {
            let at =
                |line: &[usize], column: usize| line.get(column).copied().unwrap_or(usize::MAX);
            let changed = at(&above, column) + usize::from(letter != against);
            let mut least = changed.min(at(&above, column + 1) + 1).min(at(&line, column) + 1);
            let swaps = row > 0
                && column > 0
                && one.get(row - 1) == Some(against)
                && other.get(column - 1) == Some(letter);
            if swaps {
                least = least.min(at(&before, column - 1) + 1);
            }
            line.push(least);
        }
        before = std::mem::replace(&mut above, line);
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn slips_are_counted() {
        let slips = [
            ("queu-scorer", "queue-scorer"),
            ("queue_scorer", "queue-scorer"),
            ("qeueu-scorer", "queue-scorer"),
            ("queue", "queue-scorer"),
            ("maxbytes", "maxBytes"),
            ("", "abc"),
            ("zzz", "abc"),
        ]
        .map(|(found, name)| distance(found, name));
        assert_eq!(slips, [1, 0, 2, 1, 0, 3, 3]);
    }
}
