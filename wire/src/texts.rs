//! Bytes per token of a pool's prompts, as they travel: from workers to the scraper, and in snapshots.

use picker_core::{BytesPerToken, TEXT_MEASURES_MAX, TextMeasure};

use crate::{
    frame::{FrameError, bound},
    metrics::ADAPTER_NAME_MAX,
};

/// Layout of a [`TextMeasure`]: model, bytes per token, answers.
pub(crate) type TextRecord<'a> = (&'a str, f32, u32);

/// Returns the layout of measures.
pub(crate) fn records(texts: &[TextMeasure]) -> Vec<TextRecord<'_>> {
    // One name that a reader refuses would cost it all that is written with it.
    texts.iter().filter(|it| it.model.len() <= ADAPTER_NAME_MAX).map(record).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "15 bits, which a float holds exactly")]
fn record(measure: &TextMeasure) -> TextRecord<'_> {
    let TextMeasure { model, bytes_per_token, answers } = measure;
    (model, bytes_per_token.get() as f32, *answers)
}

/// Returns the measures of a layout.
///
/// # Errors
/// For measures that are out of bounds.
pub(crate) fn measures(records: &[TextRecord<'_>]) -> Result<Vec<TextMeasure>, FrameError> {
    check(records)?;
    let measure = |(model, bytes, answers): &TextRecord<'_>| TextMeasure {
        model: (*model).to_owned(),
        bytes_per_token: BytesPerToken::new(f64::from(*bytes)),
        answers: *answers,
    };
    Ok(records.iter().map(measure).collect())
}

/// Checks measures.
///
/// # Errors
/// For measures that are out of bounds.
pub(crate) fn check(records: &[TextRecord<'_>]) -> Result<(), FrameError> {
    bound(records.len() <= TEXT_MEASURES_MAX, "bytes per token of models", "32")?;
    let ascend = records.is_sorted_by(|(one, ..), (next, ..)| one < next);
    bound(ascend, "the order of bytes per token", "ascending names, each once")?;
    let fit = |(model, bytes, _): &TextRecord<'_>| {
        let range = BytesPerToken::MIN..=BytesPerToken::MAX;
        model.len() <= ADAPTER_NAME_MAX && range.contains(&f64::from(*bytes))
    };
    bound(records.iter().all(fit), "bytes per token", "a name of 255 bytes, and 0.5 to 32")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let measure = |model: String| TextMeasure {
            model,
            bytes_per_token: BytesPerToken::default(),
            answers: 1,
        };
        let texts =
            [measure("a".repeat(ADAPTER_NAME_MAX)), measure("b".repeat(ADAPTER_NAME_MAX + 1))];
        let read = measures(&records(&texts)).unwrap();
        assert_eq!(read.len(), 1, "the name that a reader refuses is left out");
    }
}
