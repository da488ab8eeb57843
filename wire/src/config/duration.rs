//! Durations as Go writes them.

use std::time::Duration;

/// Reads the duration that a Go string says, such as `1m30s` or `1.5s`. `None` for anything else,
/// for one below zero, and for one of more than 292 years, where Go's ends.
pub fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut sum: u64 = 0;
    while !rest.is_empty() {
        let (number, after) = split(rest, |c| !is_numeral(c))?;
        let (unit, after) = split(after, is_numeral)?;
        sum = sum.checked_add(nanos(number, unit)?)?;
        rest = after;
    }
    (!text.is_empty() && i64::try_from(sum).is_ok()).then_some(Duration::from_nanos(sum))
}

fn is_numeral(c: char) -> bool {
    c.is_ascii_digit() || c == '.'
}

/// Splits a text before the first character that `ends`.
fn split(text: &str, ends: impl Fn(char) -> bool) -> Option<(&str, &str)> {
    text.split_at_checked(text.find(ends).unwrap_or(text.len()))
}

fn nanos(number: &str, unit: &str) -> Option<u64> {
    let unit: u64 = match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let tenths = std::iter::successors(Some(unit / 10), |part| Some(part / 10));
    let part: u64 =
        fraction.bytes().zip(tenths).map(|(digit, part)| u64::from(digit - b'0') * part).sum();
    whole.checked_mul(unit)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    #[test]
    fn durations_as_in_go() {
        let parse = |text| super::parse(text).map(|duration| duration.as_nanos());
        assert_eq!(
            ["60s", "1m30s", "200ms", "0s", "0", "1.5s", ".5h", "1.ms", "3us", "3\u{b5}s", "7ns"]
                .map(parse),
            [
                60_000_000_000,
                90_000_000_000,
                200_000_000,
                0,
                0,
                1_500_000_000,
                1_800_000_000_000,
                1_000_000,
                3_000,
                3_000,
                7
            ]
            .map(Some)
        );
        assert_eq!(
            [
                "",
                "60",
                "s",
                ".s",
                "1..5s",
                "-1s",
                "1 s",
                "1d",
                "9999999h",
                "1s2",
                "99999999999999999999s"
            ]
            .map(parse),
            [None; 11]
        );
        assert_eq!(super::parse("2562047h"), Some(Duration::from_secs(2_562_047 * 3_600)));
    }
}
