//! The model of a form (`multipart/form-data`, RFC 7578), as uploads of sound and pictures name it.

use memchr::memmem::Finder;

use super::{Inference, place::Place, size::MODEL_BYTES_MAX};

/// Bytes of a part's headers at most; clients write two short lines.
const HEADERS_MAX: usize = 4_096;

/// Reads the model of a form: the last part of that name counts, as in Python's frameworks. A body that is
/// no such form names none; the engine judges it.
#[must_use]
pub fn scan_form<'a>(body: &'a [u8], boundary: &[u8]) -> Inference<'a> {
    let mut inference = Inference::unread();
    let delimiter = [b"--", boundary].concat();
    let finder = Finder::new(&delimiter);
    let mut marks = finder.find_iter(body).peekable();
    while let Some(mark) = marks.next() {
        let start = mark + delimiter.len();
        // A part ends with the break in front of the next delimiter.
        let Some(end) = marks.peek().and_then(|next| next.checked_sub(2)) else { break };
        let part = body.get(start..end).unwrap_or_default();
        let Some(value) = model_in(part) else { continue };
        let value = start + value..end;
        let text = body.get(value.clone()).unwrap_or_default();
        // What is longer is a file.
        if (1..=MODEL_BYTES_MAX).contains(&text.len()) {
            inference.model = Some(String::from_utf8_lossy(text)).filter(|model| is_line(model));
            inference.place = Place::Text(value);
        }
    }
    inference
}

/// True for a name of one line: another part's delimiter cannot hide in it.
fn is_line(model: &str) -> bool {
    !model.contains(char::is_control)
}

/// Returns the index of a part's value, if the part is the model.
fn model_in(part: &[u8]) -> Option<usize> {
    let head = part.get(..part.len().min(HEADERS_MAX))?;
    let end = memchr::memmem::find(head, b"\r\n\r\n")?;
    let lines = head.get(..end)?.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let is_model = lines.into_iter().any(|line| {
        let name = b"content-disposition:";
        line.get(..name.len()).is_some_and(|it| it.eq_ignore_ascii_case(name))
            && line.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).any(|parameter| {
                // Quotes are not minded: which semicolons they hide is what frameworks differ in.
                let (name, value) = parameter.split_at(parameter.len().min(5));
                let is_name = name.eq_ignore_ascii_case(b"name=");
                is_name && matches!(value.trim_ascii(), b"\"model\"" | b"model")
            })
    });
    is_model.then_some(end + 4)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn form(parts: &[(&str, &str)]) -> Vec<u8> {
        let part = |(head, value): &(&str, &str)| {
            format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n")
        };
        format!("{}--b--\r\n", parts.iter().map(part).collect::<String>()).into_bytes()
    }

    fn renamed(body: &[u8]) -> (Option<String>, String) {
        let inference = scan_form(body, b"b");
        let mut changed = body.to_vec();
        inference.place.put(&mut changed, "other");
        (inference.model.map(Cow::into_owned), String::from_utf8_lossy(&changed).into_owned())
    }

    #[test]
    fn the_models_part_is_found_and_changed() {
        let file = "name=\"file\"; filename=\"model\"\r\nContent-Type: audio/wav";
        let body = |model| form(&[(file, "RIFF\r\n\r\n--a\0"), ("name=\"model\"", model)]);
        let (model, changed) = renamed(&body("whisper"));
        assert_eq!(model.as_deref(), Some("whisper"));
        assert_eq!(changed.as_bytes(), body("other"), "all other bytes stay");
        assert_eq!(renamed(&form(&[("Name= \"model\"", "a")])).0.as_deref(), Some("a"));
        let twice = form(&[("name=model", "a"), ("name=\"model\"", "b")]);
        assert_eq!(renamed(&twice).0.as_deref(), Some("b"), "the last counts");
    }

    #[test]
    fn a_form_without_a_model_stays_as_it_is() {
        let bodies = [
            form(&[("name=\"file\"", "x")]),
            form(&[("name=\"models\"", "x"), ("name=\"x\"; filename=\"name=model\"", "y")]),
            form(&[("name=\"model\"", "")]),
            form(&[("name=\"model\"", &"m".repeat(MODEL_BYTES_MAX + 1))]),
            b"--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm".to_vec(),
            b"--b--b--b".to_vec(),
            b"no form".to_vec(),
            Vec::new(),
        ];
        for body in bodies {
            let (model, changed) = renamed(&body);
            assert_eq!((model, changed), (None, String::from_utf8(body).unwrap()));
        }
    }
}
