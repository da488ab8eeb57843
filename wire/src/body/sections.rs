//! The sections of a prompt, and the order in which they are hashed.

use std::ops::Range;

use picker_core::{PromptHead, PromptOrder, Section, Seed, ToolsAt};

use super::piece::Piece;

/// Options of a chat template that a request may have, by the names of all APIs.
pub(super) const OPTION_NAMES: [&[u8]; 4] =
    [b"chat_template_kwargs", b"reasoning_effort", b"reasoning", b"thinking"];

/// Options of a request, in the order of their names: the values as they are written.
pub(super) type Options<'a> = [Option<&'a [u8]>; OPTION_NAMES.len()];

/// Pieces of a prompt, and the messages among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Messages<'a> {
    pub(super) pieces: Vec<Piece<'a>>,
    /// Pieces of the system messages that it begins with.
    pub(super) system: usize,
    /// First piece of the last message of the user.
    pub(super) last_user: Option<usize>,
    /// Prompts in a list, each of which is answered; 0 for what is no list of prompts.
    pub(super) prompts: u32,
}

/// Sections of a prompt that may stand elsewhere in the model's template than in the list of pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sections<'a> {
    /// Pieces of the tools and documents.
    pub(super) tools: Range<usize>,
    /// End of the system messages that the chat begins with.
    pub(super) system_end: usize,
    /// First piece of the last message of the user.
    pub(super) last_user: Option<usize>,
    pub(super) options: Options<'a>,
}

impl<'a> From<Vec<Piece<'a>>> for Messages<'a> {
    /// Makes a prompt without messages.
    fn from(pieces: Vec<Piece<'a>>) -> Self {
        Self { pieces, ..Self::default() }
    }
}

impl<'a> Sections<'a> {
    /// True if the order of the template matters: there is something that may stand in two places.
    pub(super) fn are_movable(&self) -> bool {
        !self.tools.is_empty() || self.has_options()
    }

    fn has_options(&self) -> bool {
        self.options.iter().any(Option::is_some)
    }

    /// Iterates over a prompt's pieces in an order.
    pub(super) fn arrange<'p>(
        &'p self,
        prompt: &'p [Piece<'a>],
        order: PromptOrder,
    ) -> impl Iterator<Item = Piece<'a>> + use<'p, 'a> {
        let Range { start, end } = self.tools;
        let at = match order.tools_at {
            ToolsAt::Front => end,
            ToolsAt::AfterSystem => self.system_end,
            ToolsAt::BeforeLastUser => self.last_user.unwrap_or(self.system_end),
        };
        let at = at.max(end);
        let leads = self.options.iter().flatten().filter(move |_| order.options_lead);
        let ranges = [0..start, end..at, start..end, at..prompt.len()];
        let pieces = ranges.into_iter().flat_map(|range| prompt.get(range).unwrap_or_default());
        leads.map(|option| Piece::Text(option)).chain(pieces.copied())
    }

    /// Returns the head of a prompt that is hashed in an order; `None` where no order is like another.
    pub(super) fn head(
        &self,
        prompt: &[Piece<'_>],
        seed: &Seed<'_>,
        order: PromptOrder,
    ) -> Option<Box<PromptHead>> {
        if !self.are_movable() {
            return None;
        }
        let Range { start, end } = self.tools;
        let section = |ranges: [Range<usize>; 2]| {
            let mut section = Section::default();
            let pieces = ranges.into_iter().filter_map(|range| prompt.get(range)).flatten();
            pieces.for_each(|piece| section.add(piece.bytes()));
            section
        };
        let system = section([0..start, end..self.system_end.max(end)]);
        let tools = section([start..end, end..end]);
        let mut options = Section::default();
        self.options.iter().for_each(|option| {
            // An option that is left out is none, whatever comes behind it.
            options.add(option.unwrap_or(b"-"));
        });
        let options = if self.has_options() { options } else { Section::default() };
        Some(Box::new(PromptHead::new(seed, order, [system, tools, options])))
    }
}
