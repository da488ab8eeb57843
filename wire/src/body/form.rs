//! The form of a request's body, by its content type and encoding.

/// Form of a request's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// JSON, or unsaid: clients forget the header, and some engines do not look at it.
    Json,
    /// `multipart/form-data`, as uploads have it, with this boundary between its parts.
    Multipart(Vec<u8>),
    /// Any of these in an encoding such as gzip, of which nothing is read.
    Encoded,
    /// Any other, of which nothing is read.
    Opaque,
}

/// Bytes of a boundary at most (RFC 2046, section 5.1.1).
const BOUNDARY_MAX: usize = 70;

impl Form {
    /// Returns the form by the value of `content-type`; empty where there is none.
    #[must_use]
    pub fn from_content_type(value: &[u8]) -> Self {
        let mut parameters = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let kind = parameters.next().unwrap_or_default();
        let is = |known: &[u8]| kind.eq_ignore_ascii_case(known);
        if is(b"application/json") || kind.is_empty() {
            return Self::Json;
        }
        if is(b"multipart/form-data") {
            return parameters.find_map(boundary).map_or(Self::Opaque, Self::Multipart);
        }
        // application/problem+json and its like.
        let suffix = kind.len().checked_sub(5).and_then(|at| kind.get(at..)).unwrap_or_default();
        if suffix.eq_ignore_ascii_case(b"+json") || is(b"text/json") {
            Self::Json
        } else {
            Self::Opaque
        }
    }
}

/// Returns the value of a parameter that is a boundary.
fn boundary(parameter: &[u8]) -> Option<Vec<u8>> {
    let at = parameter.iter().position(|byte| *byte == b'=')?;
    let (name, value) = parameter.split_at_checked(at)?;
    let value = value.get(1..)?.trim_ascii();
    let value = value.strip_prefix(b"\"").and_then(|it| it.strip_suffix(b"\"")).unwrap_or(value);
    let fits = (1..=BOUNDARY_MAX).contains(&value.len());
    (name.trim_ascii().eq_ignore_ascii_case(b"boundary") && fits).then(|| value.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_tells() {
        let form = |value: &str| Form::from_content_type(value.as_bytes());
        for json in
            ["", "application/json", "Application/JSON; charset=utf-8", "application/vnd.x+json"]
        {
            assert_eq!(form(json), Form::Json, "{json}");
        }
        for opaque in ["application/octet-stream", "text/plain", "+jso", "multipart/form-data"] {
            assert_eq!(form(opaque), Form::Opaque, "{opaque}");
        }
        for boundary in ["boundary=x-1", "charset=utf-8; Boundary=\"x-1\"", " boundary = x-1 "] {
            let multipart = form(&format!("multipart/form-data; {boundary}"));
            assert_eq!(multipart, Form::Multipart(b"x-1".to_vec()), "{boundary}");
        }
        assert_eq!(
            form(&format!("multipart/form-data; boundary={}", "x".repeat(71))),
            Form::Opaque
        );
    }
}
