//! The bytes of text that make a token, which only a model's tokenizer knows.

use super::BLOCK_BYTES;

/// Mean bytes of a prompt's text for each of its tokens, from 0.5 to 32.
///
/// English in a large vocabulary has about 4; Chinese that a client escapes as `\uXXXX` has 8 and more,
/// digits and base64 have 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BytesPerToken(u32);

/// Parts of a byte that [`BytesPerToken`] tells apart.
const PARTS: u32 = 1_024;

impl Default for BytesPerToken {
    /// Returns what is assumed until answers tell (EPP: token-producer, estimate).
    fn default() -> Self {
        Self(4 * PARTS)
    }
}

impl BytesPerToken {
    /// The fewest bytes a token that are believed: a template that makes two tokens of each byte is as
    /// far off as a pod that lies.
    pub const MIN: f64 = 0.5;

    /// The most bytes a token that are believed: long words that are escaped letter by letter.
    pub const MAX: f64 = 32.0;

    /// Returns so many bytes a token, within bounds; the default for what is no number.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within bounds the number is far below u32's"
    )]
    pub fn new(bytes: f64) -> Self {
        if bytes.is_nan() {
            return Self::default();
        }
        Self((bytes.clamp(Self::MIN, Self::MAX) * f64::from(PARTS)).round() as u32)
    }

    /// Returns the bytes a token.
    #[must_use]
    pub fn get(self) -> f64 {
        f64::from(self.0) / f64::from(PARTS)
    }

    /// Returns the tokens in so many bytes.
    #[must_use]
    pub fn tokens(self, bytes: u64) -> u32 {
        let tokens = bytes.saturating_mul(PARTS.into()) / u64::from(self.0);
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }

    /// Returns the whole blocks of a prompt that so many tokens make.
    pub(crate) fn blocks(self, tokens: u64) -> u32 {
        let block = u64::try_from(BLOCK_BYTES).unwrap_or(u64::MAX);
        u32::try_from(self.bytes(tokens) / block).unwrap_or(u32::MAX)
    }

    /// Returns the bytes of so many tokens.
    #[must_use]
    pub fn bytes(self, tokens: u64) -> u64 {
        tokens.saturating_mul(self.0.into()) / u64::from(PARTS)
    }
}

/// Bytes per token of a model's prompts, as the usage in its answers told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextMeasure {
    /// The model or adapter, as it is sent to the endpoints; empty for all models together.
    pub model: String,
    /// Mean bytes per token.
    pub bytes_per_token: BytesPerToken,
    /// Answers with long prompts that it is the mean of, as far as they are remembered.
    pub answers: u32,
}

/// The most models of which measures travel between gateways and scraper: 9 kB with the longest names. A
/// pool has one base model and its adapters, and those beyond go by the mean of all.
pub const TEXT_MEASURES_MAX: usize = 32;

impl TextMeasure {
    /// Merges the measures of several workers or gateways: the mean by answers of each model's, on the
    /// scale of ratios, in which half as much weighs as much as twice as much.
    #[must_use]
    pub fn merged<'a>(all: impl IntoIterator<Item = &'a Self>) -> Vec<Self> {
        let mut sums: Vec<Sum<'a>> = Vec::new();
        for measure in all {
            let Self { model, bytes_per_token, answers } = measure;
            let at = sums.iter().position(|sum| sum.model == model);
            let at = at.unwrap_or_else(|| {
                sums.push(Sum { model, ln: 0.0, weight: 0.0, answers: 0 });
                sums.len() - 1
            });
            let Some(sum) = sums.get_mut(at) else { continue };
            let weight = f64::from(*answers);
            sum.ln += weight * bytes_per_token.get().ln();
            sum.weight += weight;
            sum.answers = sum.answers.max(*answers);
        }
        let mut merged: Vec<Self> = sums.iter().filter_map(Sum::measure).collect();
        // Those that most answers told of, if there are too many.
        merged.sort_by(|a, b| (b.answers, &a.model).cmp(&(a.answers, &b.model)));
        merged.truncate(TEXT_MEASURES_MAX);
        merged.sort_by(|a, b| a.model.cmp(&b.model));
        merged
    }
}

/// Measures of one model, summed.
struct Sum<'a> {
    model: &'a String,
    /// Logarithms of the bytes per token, times their weights.
    ln: f64,
    weight: f64,
    answers: u32,
}

impl Sum<'_> {
    fn measure(&self) -> Option<TextMeasure> {
        (self.answers > 0).then(|| TextMeasure {
            model: self.model.clone(),
            bytes_per_token: BytesPerToken::new((self.ln / self.weight).exp()),
            answers: self.answers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_tokens_are_told_apart_within_bounds() {
        let tokens = |bytes_per_token| BytesPerToken::new(bytes_per_token).tokens(8_192);
        let found = [4.0, 2.0, 8.0, 0.0, 1e9, -1.0, f64::NAN, f64::INFINITY].map(tokens);
        assert_eq!(found, [2_048, 4_096, 1_024, 16_384, 256, 16_384, 2_048, 256]);
        assert_eq!(BytesPerToken::default().bytes(64), 256);
        let blocks = |tokens| BytesPerToken::new(8.0).blocks(tokens);
        assert_eq!([0, 31, 32, 320, u64::MAX].map(blocks), [0, 0, 1, 10, u32::MAX]);
        assert_eq!(BytesPerToken::new(0.5).tokens(u64::MAX), u32::MAX);
        assert_eq!(BytesPerToken::new(32.0).bytes(u64::MAX), u64::MAX / 1_024);
    }

    fn measure(model: &str, bytes: f64, answers: u32) -> TextMeasure {
        TextMeasure { model: model.to_owned(), bytes_per_token: BytesPerToken::new(bytes), answers }
    }

    #[test]
    fn measures_are_merged_by_the_answers_behind_them() {
        let all = [
            measure("b", 2.0, 10),
            measure("a", 3.0, 1),
            measure("b", 8.0, 10),
            measure("c", 9.0, 0),
        ];
        assert_eq!(TextMeasure::merged(&all), [measure("a", 3.0, 1), measure("b", 4.0, 10)]);
        let same = [measure("a", 3.0, 40), measure("a", 3.0, 64)];
        assert_eq!(TextMeasure::merged(&same), [measure("a", 3.0, 64)], "no worker counts twice");
    }

    #[test]
    fn of_many_models_those_with_most_answers_are_told() {
        let many: Vec<_> =
            (0..100).map(|number| measure(&format!("m{number:02}"), 4.0, number)).collect();
        let merged = TextMeasure::merged(&many);
        assert_eq!(merged.len(), TEXT_MEASURES_MAX);
        assert_eq!((merged[0].model.as_str(), merged[31].model.as_str()), ("m68", "m99"));
    }
}
