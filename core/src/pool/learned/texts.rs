//! The bytes per token of each model's prompts, by the usage in the answers.

use std::collections::BTreeMap;

use crate::model::{BLOCK_BYTES, BytesPerToken, PromptSize, TEXT_MEASURES_MAX, TextMeasure};

/// Bytes per token of the prompts of a pool: by model, and of all that fills caches.
///
/// Clients choose the prompts, and an endpoint may count wrongly. So an answer moves a mean by little
/// however far off it is: of ten answers one that is out of all bounds moves it by 4 %.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    /// Text of all models.
    text: Mean,
    /// Prompts of any kind, over the bytes that were hashed: so much of a prompt stands for a token in
    /// the caches.
    cached: Mean,
    by_model: BTreeMap<String, Mean>,
}

/// A mean on the scale of ratios, which fades.
#[derive(Clone, Copy, Debug)]
struct Mean {
    /// Logarithm of the bytes per token.
    ln: f64,
    /// Answers with long prompts that it stands for.
    weight: f64,
}

impl Default for Mean {
    fn default() -> Self {
        Self { ln: BytesPerToken::default().get().ln(), weight: 0.0 }
    }
}

impl Mean {
    /// Answers that are remembered: a kind of text that is new is learnt within as many.
    const WEIGHT_MAX: f64 = 64.0;

    /// The farthest that an answer is taken to be from the mean, as a factor of 1.4. A client that sends a
    /// tenth of the requests can move the mean of the others by a ninth of that.
    const FAR: f64 = 0.34;

    /// Bytes of a prompt that weigh as much as what the template adds to it: role names and a system
    /// prompt of its own are some hundred tokens at most.
    const TEMPLATE_BYTES: f64 = 1_024.0;

    /// Learns that a prompt of so many bytes had so many tokens.
    fn add(&mut self, bytes: f64, tokens: u32) {
        if tokens == 0 || bytes <= 0.0 {
            return;
        }
        let found = BytesPerToken::new(bytes / f64::from(tokens)).get().ln();
        let off = (found - self.ln).clamp(-Self::FAR, Self::FAR);
        let weight = bytes / (bytes + Self::TEMPLATE_BYTES);
        self.ln += off * weight / (self.weight + 1.0);
        self.weight = (self.weight + weight).min(Self::WEIGHT_MAX);
    }

    fn get(self) -> BytesPerToken {
        BytesPerToken::new(self.ln.exp())
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most the answers that are remembered"
    )]
    fn measure(self, model: &str) -> Option<TextMeasure> {
        let answers = self.weight as u32;
        let bytes_per_token = self.get();
        (answers > 0).then(|| TextMeasure { model: model.to_owned(), bytes_per_token, answers })
    }

    /// Takes over a measure that more answers told of than are known here.
    fn adopt(&mut self, told: &TextMeasure) {
        let weight = f64::from(told.answers).min(Self::ADOPTED_MAX);
        if self.weight < weight {
            *self = Self { ln: told.bytes_per_token.get().ln(), weight };
        }
    }

    /// Weight of a measure that is taken over: half of what is remembered, so that the own answers soon
    /// outweigh it if it is of another time.
    const ADOPTED_MAX: f64 = 32.0;
}

impl Texts {
    /// Learns that the endpoint counted so many tokens in a prompt.
    pub(crate) fn learn(&mut self, prompt: &PromptSize, tokens: u32) {
        let PromptSize { model, text_bytes, blocks } = prompt;
        // The last block is half full in the mean.
        let hashed = (f64::from(*blocks) - 0.5) * f64::from(BLOCK_BYTES_U16);
        self.cached.add(hashed, tokens);
        let Some(bytes) = text_bytes else { return };
        let bytes = f64::from(*bytes);
        self.text.add(bytes, tokens);
        if !model.is_empty() {
            self.mean_of(model).add(bytes, tokens);
        }
    }

    /// Returns the mean of a model; a new one begins as the mean of all. Where there are too many models,
    /// it takes the place of the one that is known least: a name that engines answer to and that is
    /// rarely asked for.
    fn mean_of(&mut self, model: &str) -> &mut Mean {
        if !self.by_model.contains_key(model) && self.by_model.len() >= TEXT_MEASURES_MAX {
            let known = |(_, mean): &(&String, &Mean)| mean.weight;
            let least = self.by_model.iter().min_by(|a, b| known(a).total_cmp(&known(b)));
            let least = least.map(|(model, _)| model.clone());
            least.and_then(|least| self.by_model.remove(&least));
        }
        let first = Mean { weight: 0.0, ..self.text };
        self.by_model.entry(model.to_owned()).or_insert(first)
    }

    /// Returns the bytes per token of a model's text.
    pub(crate) fn of_model(&self, model: &str) -> BytesPerToken {
        self.by_model.get(model).unwrap_or(&self.text).get()
    }

    /// Returns the bytes of prompt that a cached token stands for.
    pub(crate) fn of_caches(&self) -> BytesPerToken {
        self.cached.get()
    }

    /// Returns what the other workers and gateways may take over.
    pub(crate) fn measures(&self) -> Vec<TextMeasure> {
        let models = self.by_model.iter().filter_map(|(model, mean)| mean.measure(model));
        let all: Vec<_> = self.text.measure("").into_iter().chain(models).collect();
        TextMeasure::merged(&all)
    }

    /// Takes over what others have learnt, as far as they know more.
    pub(crate) fn adopt(&mut self, told: &[TextMeasure]) {
        for measure in told.iter().take(TEXT_MEASURES_MAX) {
            if measure.model.is_empty() {
                self.text.adopt(measure);
                self.cached.adopt(measure);
            } else {
                self.mean_of(&measure.model).adopt(measure);
            }
        }
    }
}

const BLOCK_BYTES_U16: u16 = 256;
const _: () = assert!(BLOCK_BYTES_U16 as usize == BLOCK_BYTES, "the size of a block");

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a prompt of text of so many bytes.
    fn text(model: &str, bytes: u32) -> PromptSize {
        PromptSize {
            model: model.to_owned(),
            text_bytes: Some(bytes),
            blocks: bytes.div_ceil(BLOCK_BYTES_U16.into()),
        }
    }

    fn learn(texts: &mut Texts, model: &str, bytes_per_token: u32, answers: u32) {
        (0..answers).for_each(|_| texts.learn(&text(model, 16_000), 16_000 / bytes_per_token));
    }

    fn of(texts: &Texts, model: &str) -> f64 {
        texts.of_model(model).get()
    }

    #[test]
    fn twenty_long_prompts_tell_and_short_ones_say_more_of_the_template() {
        for bytes in [2, 4, 8] {
            let mut texts = Texts::default();
            learn(&mut texts, "m", bytes, 20);
            let (found, cached) = (of(&texts, "m"), texts.of_caches().get());
            assert!((found / f64::from(bytes) - 1.0).abs() < 0.03, "{found} of {bytes}");
            assert!((cached / f64::from(bytes) - 1.0).abs() < 0.04, "{cached} of {bytes}");
        }
        let mut texts = Texts::default();
        (0..5).for_each(|_| texts.learn(&text("m", 40), 40));
        assert!(of(&texts, "m") > 3.7, "40 bytes in a template of 30 tokens: {}", of(&texts, "m"));
    }

    #[test]
    fn what_fills_the_cache_is_learnt_of_prompts_that_are_no_text() {
        let mut texts = Texts::default();
        let ids = PromptSize { text_bytes: None, ..text("m", 8_192) };
        (0..100).for_each(|_| texts.learn(&ids, 1_024));
        assert!(texts.of_caches().get() > 7.8);
        assert_eq!(texts.of_model("m"), BytesPerToken::default());
    }

    #[test]
    fn each_model_has_its_own_and_a_new_one_begins_as_all() {
        let mut texts = Texts::default();
        learn(&mut texts, "a", 8, 100);
        assert!((of(&texts, "b") - 8.0).abs() < 0.1);
        learn(&mut texts, "b", 2, 100);
        assert!((of(&texts, "a") - 8.0).abs() < 0.1 && (of(&texts, "b") - 2.0).abs() < 0.1);
    }

    #[test]
    fn one_client_or_endpoint_of_ten_moves_the_others_by_four_percent() {
        for lie in [1, 1_000_000] {
            let mut texts = Texts::default();
            for _ in 0..200 {
                learn(&mut texts, "m", 4, 9);
                texts.learn(&text("m", 16_000), lie);
            }
            let found = of(&texts, "m");
            assert!((found / 4.0 - 1.0).abs() < 0.045, "{lie}: {found}");
        }
    }

    #[test]
    fn no_answer_takes_it_out_of_bounds() {
        for (tokens, bound) in [(1, BytesPerToken::MAX), (u32::MAX, BytesPerToken::MIN)] {
            let mut texts = Texts::default();
            (0..10_000).for_each(|_| texts.learn(&text("m", 1 << 20), tokens));
            assert!((of(&texts, "m") - bound).abs() < 1e-3, "{tokens}");
        }
        let mut texts = Texts::default();
        texts.learn(&text("m", 0), 0);
        texts.learn(&PromptSize::default(), 9);
        assert_eq!(texts.of_model("m"), BytesPerToken::default());
        assert!(texts.measures().is_empty());
    }

    #[test]
    fn names_that_clients_make_up_drive_out_no_model() {
        let mut texts = Texts::default();
        learn(&mut texts, "m", 8, 20);
        for number in 0..500 {
            learn(&mut texts, &format!("made-up-{number}"), 2, 1);
        }
        assert_eq!(texts.by_model.len(), TEXT_MEASURES_MAX);
        assert!((of(&texts, "m") - 8.0).abs() < 0.1);
        let told: Vec<_> = texts.measures().into_iter().map(|it| it.model).collect();
        assert_eq!(told, ["", "m"], "one answer is nothing to tell of");
    }

    #[test]
    fn what_others_know_is_taken_over_until_the_own_answers_say_more() {
        let mut texts = Texts::default();
        learn(&mut texts, "m", 2, 60);
        let told = texts.measures();
        let names: Vec<_> = told.iter().map(|it| (&*it.model, it.answers)).collect();
        assert_eq!(names, [("", 56), ("m", 56)]);

        let mut fresh = Texts::default();
        fresh.adopt(&told);
        assert!((of(&fresh, "m") - 2.0).abs() < 0.02 && (of(&fresh, "other") - 2.0).abs() < 0.02);
        assert!((fresh.of_caches().get() - 2.0).abs() < 0.02);
        for _ in 0..40 {
            learn(&mut fresh, "m", 8, 1);
            fresh.adopt(&told);
        }
        assert!(of(&fresh, "m") > 2.5, "{}", of(&fresh, "m"));
    }
}
