//! A reader lands in the middle: a comment stands without the line above it, and calls machines by their names.

use super::source::test_lines;

/// Words by which a sentence refers to a noun that stands elsewhere.
const PRONOUNS: [&str; 13] = [
    "It", "Its", "They", "Their", "That", "Those", "These", "This", "Such", "One", "Ones", "Each",
    "Both",
];

/// Words by which a comment answers a question instead of naming a thing.
const QUESTIONS: [&str; 10] =
    ["What", "Who", "Whom", "Whose", "Whether", "How", "Where", "When", "Which", "Why"];

/// Words for people, of which this code knows none.
const PEOPLE: [&str; 6] = ["who", "whom", "whose", "nobody", "somebody", "anybody"];

/// Counts over the comments of source files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Comments {
    /// Number of documentation comments, a block being one.
    pub(super) documents: usize,
    /// First lines of those that begin with a pronoun or a question word, with their places.
    pub(super) dangling: Vec<String>,
    /// Lines in which a machine is called somebody, once for each such word.
    pub(super) people: Vec<String>,
}

impl Comments {
    /// Adds a file's comments, those of tests left out.
    pub(super) fn add(&mut self, file: &str, text: &str) {
        let tests = test_lines(&syn::parse_file(text).unwrap());
        let mut above = None;
        for (number, line) in (1..).zip(text.lines()).filter(|(number, _)| !tests.contains(number))
        {
            let kind = document(line);
            if let Some(said) = kind.as_ref().filter(|said| above != Some(said.mark)) {
                self.documents += 1;
                if dangles(said.text) {
                    self.dangling.push(format!("{file}:{number} {}", said.text));
                }
            }
            above = kind.map(|said| said.mark);
            if let Some((_, comment)) = line.split_once("//") {
                let people =
                    words(comment).filter(|word| PEOPLE.contains(&word.to_lowercase().as_str()));
                self.people.extend(people.map(|_| format!("{file}:{number} {}", line.trim())));
            }
        }
    }
}

/// A line of a documentation comment.
struct Line<'a> {
    mark: &'a str,
    text: &'a str,
}

fn document(line: &str) -> Option<Line<'_>> {
    let (mark, text) = line.trim_start().split_at_checked(3)?;
    let is_document = ["///", "//!"].contains(&mark) && !text.starts_with('/');
    is_document.then(|| Line { mark, text: text.trim_start() })
}

fn dangles(text: &str) -> bool {
    let first = words(text).next().unwrap_or_default();
    let begins = text.starts_with(first);
    begins
        && (PRONOUNS.contains(&first)
            || QUESTIONS.contains(&first)
            || text.starts_with("All of it"))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

#[test]
fn beginnings_and_people_are_counted_where_they_are_and_not_in_tests() {
    let text = "//! The module.\n//! It goes on.\n\n/// Whether it is.\nfn a() {} // who knows\n\
        /// `It` as code.\n/// Each one.\nfn b() {}\n/// Its size.\nfn c() {}\n\
        #[cfg(test)]\nmod tests {\n    /// That is one, of whom nobody knows.\n    fn d() {}\n}\n";
    let mut found = Comments::default();
    found.add("a.rs", text);
    let expected = Comments {
        documents: 4,
        dangling: vec!["a.rs:4 Whether it is.".to_owned(), "a.rs:9 Its size.".to_owned()],
        people: vec!["a.rs:5 fn a() {} // who knows".to_owned()],
    };
    assert_eq!(found, expected);
}
