//! The responses that a server keeps in its memory, for clients that go on from them.

use std::collections::VecDeque;

/// Responses that are kept: enough to try follow-ups. vLLM keeps all until it ends.
const KEPT_MAX: usize = 1_024;

/// The responses of one server, the newest last.
#[derive(Debug, Default)]
pub(super) struct KeptResponses(VecDeque<KeptResponse>);

#[derive(Debug)]
struct KeptResponse {
    name: String,
    text: String,
    body: String,
}

impl KeptResponses {
    pub(super) fn keep(&mut self, name: &str, text: &str, body: String) {
        if self.0.len() >= KEPT_MAX {
            self.0.pop_front();
        }
        self.0.push_back(KeptResponse { name: name.to_owned(), text: text.to_owned(), body });
    }

    fn find(&self, name: &str) -> Option<&KeptResponse> {
        self.0.iter().rev().find(|it| it.name == name)
    }

    /// Returns the body of a response.
    pub(super) fn body(&self, name: &str) -> Option<String> {
        self.find(name).map(|it| it.body.clone())
    }

    /// Returns the text of a response.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.find(name).map(|it| it.text.clone())
    }
}
