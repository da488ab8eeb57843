//! Numbers as Kubernetes writes them.

/// Digits of a quantity at most: those of the largest number of 64 bits, and as many behind the point.
const DIGITS_MAX: usize = 40;

/// Reads the number that a Kubernetes quantity says: a number, which may have a fraction, then nothing,
/// a unit from `n` to `E` or from `Ki` to `Ei`, or an exponent of ten. A fraction is rounded up, as
/// Kubernetes does. `None` for anything else and for numbers beyond 64 bits.
pub(super) fn parse(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > DIGITS_MAX || fraction.contains('.') {
        return None;
    }
    let places = i32::try_from(fraction.len()).ok()?;
    let (factor, exponent) = factor(unit)?;
    scaled(digits.parse::<u128>().ok()?.checked_mul(factor)?, exponent - places)
}

/// Returns the factor and the exponent of ten that a unit stands for.
fn factor(unit: &str) -> Option<(u128, i32)> {
    let binary = |power: u32| Some((1 << (10 * power), 0));
    let decimal = |exponent| Some((1, exponent));
    match unit {
        "" => decimal(0),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            let exponent = unit.strip_prefix(['e', 'E'])?;
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            // No quantity of 64 bits has a larger one.
            let is_short = digits.len() <= 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
            decimal(exponent.parse().ok().filter(|_| is_short)?)
        }
    }
}

/// Multiplies by a power of ten, and rounds up.
fn scaled(number: u128, exponent: i32) -> Option<u64> {
    let Some(power) = 10_u128.checked_pow(exponent.unsigned_abs()) else {
        // Less than a part of a whole one, or far more than fits.
        return if number == 0 { Some(0) } else { (exponent < 0).then_some(1) };
    };
    let scaled = if exponent < 0 { number.div_ceil(power) } else { number.checked_mul(power)? };
    u64::try_from(scaled).ok()
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
        assert_eq!(
            ["1.5Gi", "1e9", "2E3", "1E", "0.5k", "1500m", "1n", ".5Ki", "1.", "5e-1", "0e99"]
                .map(parse),
            [
                Some(3 << 29),
                Some(1_000_000_000),
                Some(2_000),
                Some(1_000_000_000_000_000_000),
                Some(500),
                Some(2),
                Some(1),
                Some(512),
                Some(1),
                Some(1),
                Some(0)
            ]
        );
        assert_eq!(["15Ei", "18446744073709551615"].map(parse), [Some(15 << 60), Some(u64::MAX)]);
        assert_eq!(["", "k", "1K", ".", "1.5.5", "-1", "+1", "1 k"].map(parse), [None; 8]);
        assert_eq!(
            ["99999999Ti", "16Ei", "1e20", "1e99", "1e", "1e+-1", "1e100"].map(parse),
            [None; 7]
        );
    }
}
