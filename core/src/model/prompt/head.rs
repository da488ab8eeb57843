//! The head of a chat's prompt by its sections, whichever of them the chat template writes first.

use super::{
    Seed,
    digest::{digest_all, mix},
    order::PromptOrder,
};

/// The sections that the head of a chat's prompt is made of, each as a hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PromptHead {
    /// Order in which the request's prompt was hashed.
    pub order: PromptOrder,
    /// Hash of all that keeps caches apart.
    scope: u64,
    system: Section,
    tools: Section,
    options: Section,
}

/// One section of a prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Section {
    hash: u64,
    bytes: u32,
}

/// Sections that a cache may begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadPart {
    /// The system messages.
    System,
    /// The tools and documents.
    Tools,
    /// Both, in any order.
    Both,
    /// Both, under the same options of the chat template.
    All,
}

impl Section {
    /// Bytes of a section that are hashed: equal beginnings of this length are worth 4,000 tokens, which
    /// tells a cached section from one that is not, and the hash of more would cost each request as much.
    const BYTES_MAX: u32 = 16_384;

    /// Appends bytes. What is beyond the limit is ignored.
    pub fn add(&mut self, bytes: &[u8]) {
        let room = usize::try_from(Self::BYTES_MAX - self.bytes).unwrap_or(0);
        let taken = bytes.get(..room).unwrap_or(bytes);
        if !taken.is_empty() {
            self.hash = digest_all(self.hash, taken);
            self.bytes += u32::try_from(taken.len()).unwrap_or(0);
        }
    }
}

impl PromptHead {
    /// Returns the head of a prompt with this seed and these sections, which was hashed in this order.
    #[must_use]
    pub fn new(seed: &Seed<'_>, order: PromptOrder, sections: [Section; 3]) -> Self {
        let [system, tools, options] = sections;
        Self { order, scope: seed.hash(), system, tools, options }
    }

    /// Returns the number of a part, which equal parts of equal scopes share.
    pub(crate) fn key(&self, part: HeadPart) -> u64 {
        let system = self.system.hash;
        let [kind, hashes @ ..] = match part {
            HeadPart::System => [1, system, 0, 0],
            HeadPart::Tools => [2, 0, self.tools.hash, 0],
            HeadPart::Both => [3, system, self.tools.hash, 0],
            HeadPart::All => [4, system, self.tools.hash, self.options.hash],
        };
        hashes.into_iter().fold(mix(self.scope, kind), mix)
    }

    /// Returns the bytes of a part, as far as they are hashed; options count none.
    pub(crate) fn bytes(&self, part: HeadPart) -> u32 {
        match part {
            HeadPart::System => self.system.bytes,
            HeadPart::Tools => self.tools.bytes,
            HeadPart::Both | HeadPart::All => self.system.bytes + self.tools.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(bytes: &[u8]) -> Section {
        let mut section = Section::default();
        section.add(bytes);
        section
    }

    fn head(system: &[u8], tools: &[u8], options: &[u8]) -> PromptHead {
        let sections = [system, tools, options].map(section);
        PromptHead::new(&Seed::default(), PromptOrder::default(), sections)
    }

    #[test]
    fn parts_are_equal_where_their_sections_are() {
        let one = head(b"system", b"tools", b"options");
        for (other, same) in [
            (head(b"other", b"tools", b"options"), [false, true, false, false]),
            (head(b"system", b"other", b"options"), [true, false, false, false]),
            (head(b"system", b"tools", b""), [true, true, true, false]),
        ] {
            let parts = [HeadPart::System, HeadPart::Tools, HeadPart::Both, HeadPart::All];
            assert_eq!(parts.map(|part| one.key(part) == other.key(part)), same, "{other:?}");
        }
        let apart = Seed { model: "m", ..Seed::default() };
        let elsewhere = PromptHead { scope: apart.hash(), ..one };
        assert_ne!(one.key(HeadPart::System), elsewhere.key(HeadPart::System));
        assert_ne!(
            head(b"x", b"", b"").key(HeadPart::System),
            head(b"", b"x", b"").key(HeadPart::Tools)
        );
    }

    #[test]
    fn a_section_has_a_limit() {
        let max = vec![b'x'; 16_384];
        let beyond = [&max[..], b"and more"].concat();
        assert_eq!(section(&max), section(&beyond));
        assert_eq!(head(&beyond, b"tools", b"o").bytes(HeadPart::Both), 16_389);
        let mut pieces = section(&max);
        pieces.add(b"more");
        assert_eq!(pieces, section(&max));
        assert_ne!(section(b"ab"), section(b"a"));
    }
}
