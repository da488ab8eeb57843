//! The words of answers: in which fields engines put their output, its cost, and their errors.
//!
//! An answer does not say its dialect, and engines speak several, so all of them are one tree that is
//! made while the crate is compiled. A dialect has a file that lists its fields by their paths; a new
//! one is such a file and an entry of the list below.

mod anthropic;
mod gemini;
mod llama_cpp;
mod ollama;
mod openai;
mod sglang;
mod tgi;
mod triton;

/// Lists of the fields of all dialects.
const DIALECTS: &[&[AnswerField]] = &[
    openai::FIELDS,
    anthropic::FIELDS,
    sglang::FIELDS,
    ollama::FIELDS,
    llama_cpp::FIELDS,
    tgi::FIELDS,
    triton::FIELDS,
    gemini::FIELDS,
];

/// A field of an answer, by its path from the root of a JSON body or of one event. Arrays are no part
/// of a path: a field of each element is meant.
pub(super) struct AnswerField {
    path: &'static [&'static str],
    says: Says,
}

impl AnswerField {
    const fn new(path: &'static [&'static str], says: Says) -> Self {
        Self { path, says }
    }
}

/// Message of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Says {
    /// Nothing, but the event is one of a dialect that is known.
    Nothing,
    /// Output of the model, if it is a string that is not empty or a number.
    Output,
    /// The reason for which the output ends, if it is a string that is not empty; an error, if it is that.
    Finish,
    /// A count of the usage.
    Count(TokenCount),
    /// An error, if it is an object, true, or a string that is not empty.
    Error,
    /// The HTTP status of an error, if it is a number.
    ErrorStatus,
    /// An error with this HTTP status, if it is one of these strings.
    ErrorWords(&'static [(&'static str, u16)]),
}

/// Count in the usage of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenCount {
    /// Tokens of the prompt.
    Prompt,
    /// Tokens that were generated.
    Output,
    /// Tokens of the prompt that were cached.
    Cached,
    /// Cached tokens that are counted apart from those of the prompt.
    CacheRead,
    /// Tokens newly put into the cache, counted apart from those of the prompt.
    CacheCreation,
}

/// Place in the tree of all paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(u8);

/// Node of the tree: a key below its parent.
#[derive(Clone, Copy)]
struct Node {
    key: &'static [u8],
    says: Says,
    /// First key below; the root, which is below none, stands for none.
    first: u8,
    /// Next key below the same parent.
    next: u8,
}

/// Nodes of the tree: as many as the paths have keys, less those that they share.
const NODES: usize = 112;

static TREE: [Node; NODES] = tree();

/// Keys of an event by which it is of a dialect that says usage and errors in these very words: OpenAI's
/// and Anthropic's.
pub(super) const COMMON_KEYS: [&[u8]; 2] = [b"choices", b"type"];

/// Longest key and longest word that means something.
pub(super) const WORD_MAX: usize = 32;

#[expect(clippy::indexing_slicing, reason = "the compiler evaluates it, and would say so")]
const fn tree() -> [Node; NODES] {
    let empty = Node { key: &[], says: Says::Nothing, first: 0, next: 0 };
    let mut tree = Growing { nodes: [empty; NODES], len: 1 };
    let mut dialect = 0;
    while dialect < DIALECTS.len() {
        let mut field = 0;
        while field < DIALECTS[dialect].len() {
            tree = tree.with(&DIALECTS[dialect][field]);
            field += 1;
        }
        dialect += 1;
    }
    tree.nodes
}

/// A tree to which paths are added.
struct Growing {
    nodes: [Node; NODES],
    len: u8,
}

#[expect(clippy::indexing_slicing, reason = "the compiler evaluates it, and would say so")]
impl Growing {
    const fn with(mut self, field: &AnswerField) -> Self {
        let mut at = 0;
        let mut depth = 0;
        while depth < field.path.len() {
            let key = field.path[depth].as_bytes();
            let known = below(&self.nodes, at, key);
            at = if known != 0 { known } else { self.add(at, key) };
            depth += 1;
        }
        if !matches!(field.says, Says::Nothing) {
            self.nodes[at as usize].says = field.says;
        }
        self
    }

    const fn add(&mut self, parent: u8, key: &'static [u8]) -> u8 {
        let next = self.nodes[parent as usize].first;
        self.nodes[self.len as usize] = Node { key, says: Says::Nothing, first: 0, next };
        self.nodes[parent as usize].first = self.len;
        self.len += 1;
        self.len - 1
    }
}

/// Finds a key below a node, or 0.
#[expect(clippy::indexing_slicing, reason = "a node names only nodes that there are")]
const fn below(nodes: &[Node; NODES], parent: u8, key: &[u8]) -> u8 {
    let mut at = nodes[parent as usize].first;
    while at != 0 {
        let node = &nodes[at as usize];
        if node.key.len() == key.len() && is_same(node.key, key) {
            return at;
        }
        at = node.next;
    }
    0
}

#[expect(clippy::indexing_slicing, reason = "both are as long as each other")]
const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

impl NodeId {
    /// The document itself.
    pub(super) const ROOT: Self = Self(0);

    /// Returns the node of a key below this one; `None` for a key that means nothing here.
    pub(super) fn child(self, key: &[u8]) -> Option<Self> {
        let found = below(&TREE, self.0, key);
        (found != 0).then_some(Self(found))
    }

    /// Returns the message of the field.
    pub(super) fn says(self) -> Says {
        TREE.get(usize::from(self.0)).map_or(Says::Nothing, |node| node.says)
    }

    /// True if fields below this one mean something.
    pub(super) fn has_children(self) -> bool {
        TREE.get(usize::from(self.0)).is_some_and(|node| node.first != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> impl Iterator<Item = &'static AnswerField> {
        DIALECTS.iter().copied().flatten()
    }

    #[test]
    fn every_path_leads_to_what_it_says() {
        for AnswerField { path, says } in fields() {
            let node = path.iter().try_fold(NodeId::ROOT, |node, key| node.child(key.as_bytes()));
            let found = node.unwrap().says();
            let both_say = format!("{found:?}") == format!("{says:?}");
            assert!(both_say || matches!(says, Says::Nothing), "{path:?} says {found:?}");
        }
        assert_eq!(NodeId::ROOT.child(b"no such key"), None);
    }

    #[test]
    fn every_word_fits_and_so_does_the_tree() {
        for AnswerField { path, says } in fields() {
            let words = if let Says::ErrorWords(words) = says { *words } else { &[] };
            let words = words.iter().map(|(word, _)| *word);
            assert!(path.iter().copied().chain(words).all(|word| word.len() <= WORD_MAX));
        }
        let used = TREE.iter().filter(|node| !node.key.is_empty()).count();
        assert!(used < NODES && used + 16 > NODES, "{used} of {NODES} nodes are used");
    }
}
