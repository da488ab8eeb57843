//! The name of a server-sent event.

/// Bytes of a name that are kept. Those of the Responses API have up to 50.
const NAME_MAX: usize = 64;

/// Name of an event, as far as it came; empty where it has none.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventName {
    bytes: [u8; NAME_MAX],
    len: usize,
}

impl Default for EventName {
    fn default() -> Self {
        Self { bytes: [0; NAME_MAX], len: 0 }
    }
}

impl EventName {
    pub(super) fn append(&mut self, part: &[u8]) {
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        self.len += room.len().min(part.len());
        room.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn text(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default().trim_ascii()
    }

    /// Returns the HTTP status of the error that the name tells of, whatever the event's data say.
    pub(super) fn error(&self) -> Option<u16> {
        matches!(self.text(), b"error" | b"response.failed").then_some(500)
    }

    /// True if events of this name may have output: those without a name, those of the APIs that name
    /// their events by which output begins or goes on, and names that no API has.
    pub(super) fn may_have_output(&self) -> bool {
        let name = self.text();
        let is_of_an_api = API_NAMES.iter().any(|start| name.starts_with(start));
        match name {
            b"error" | b"ping" | b"message_delta" => false,
            _ => !is_of_an_api || name.ends_with(b"delta") || self.needs_data(),
        }
    }

    /// True if only the data tell whether events of this name have output: the beginning of an item is
    /// output where it names a tool, and a picture is where it is partial.
    pub(super) fn needs_data(&self) -> bool {
        let name = self.text();
        matches!(name, b"content_block_start" | b"response.output_item.added")
            || name.ends_with(b"partial_image")
    }
}

/// Beginnings of the names that the Responses API and Anthropic's give to events.
const API_NAMES: [&[u8]; 3] = [b"response.", b"message_", b"content_block_"];
