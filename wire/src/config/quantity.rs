//! Numbers as Kubernetes writes them.

/// Reads the bytes that a Kubernetes quantity says: a whole number, then nothing, `k`, `M`, `G`,
/// `T`, `Ki`, `Mi`, `Gi` or `Ti`. `None` for anything else and for numbers beyond 64 bits.
pub(super) fn parse(text: &str) -> Option<u64> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    let factor: u64 = match unit {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// Returns the whole number that a double is. `None` with a fraction, below zero, or from 2^53 on,
/// where doubles skip numbers.
pub(super) fn whole(number: f64) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if !(0.0..EXACT).contains(&number) || number.fract() > 0.0 {
        return None;
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number from 0 to 2^53, as was just checked"
    )]
    Some(number as u64)
}

#[cfg(test)]
mod tests {
    #[test]
    fn quantities_as_in_kubernetes() {
        let parse = super::parse;
        assert_eq!(
            ["10k", "1Gi", "4Mi", "7", "1G"].map(parse),
            [Some(10_000), Some(1 << 30), Some(4 << 20), Some(7), Some(1_000_000_000)]
        );
        assert_eq!(["", "k", "1K", "1.5Gi", "-1", "+1", "1 k", "99999999Ti"].map(parse), [None; 8]);
    }
}
