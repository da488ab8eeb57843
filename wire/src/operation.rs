//! Operations: the requests that engines take, told apart by method, path, content type and upgrade.
//!
//! Each is of one [`Class`]: its body is read, or it goes to any endpoint at once, or it is refused.
//! All that sets operations apart stands in one list, [`OPERATIONS`], which `docs/apis.md` shows row
//! by row.

mod list;
mod path;
mod pattern;

use std::{borrow::Cow, ops::Range};

use crate::body::{Api, Form};

pub use list::OPERATIONS;
pub(crate) use path::plain;
pub use path::with_model;
use pattern::{Found, Pattern};

/// A request that engines take.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Methods by which it is asked for.
    pub methods: Methods,
    pattern: Pattern,
    /// Treatment of it.
    pub class: Class,
    /// Engines that have it, and the interfaces that others copy.
    pub engines: &'static str,
    /// True if the pod that answers keeps something, which the answer names.
    pub keeps: bool,
}

/// Methods of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Methods {
    /// POST, and whatever else brings a body.
    Post,
    /// GET, and whatever else brings none.
    Get,
    /// POST, PUT, DELETE, and whatever else changes something.
    Change,
    /// Any but OPTIONS, which asks what is allowed.
    Any,
}

/// Kind of a method, as far as operations tell methods apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MethodKind {
    /// POST, and whatever else brings a body.
    Posting,
    /// GET, HEAD and TRACE.
    Getting,
    Deleting,
    /// OPTIONS.
    Asking,
}

/// Treatment of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Inference: the body is read as this API's, and the request is placed by what it says.
    Read(Api),
    /// Inference over an upgraded connection: placed at its headers, and counted until it ends.
    Upgraded,
    /// No inference: to any endpoint at once, without queue or ledger.
    Direct,
    /// The same, but its body names what one endpoint keeps, which is the one.
    Named,
    /// A call that changes one engine: refused, since the pool's others would not hear of it.
    Refused,
}

/// The parts of a request's headers that tell its operation.
#[derive(Clone, Copy, Debug, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "two facts of the headers, any mix of which comes"
)]
pub struct RequestHead<'a> {
    /// `:method`.
    pub method: &'a [u8],
    /// `:path`, with its query.
    pub path: &'a [u8],
    /// `content-type`; empty where there is none.
    pub content_type: &'a [u8],
    /// `content-encoding`; empty where there is none.
    pub content_encoding: &'a [u8],
    /// True if the connection is to become another protocol's (`upgrade`).
    pub upgrades: bool,
    /// True if a body follows.
    pub has_body: bool,
}

/// The operation of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognized<'a> {
    /// Treatment of it.
    pub class: Class,
    /// Form of the body of an inference request.
    pub form: Form,
    /// Path without query and escapes, as engines understand it.
    pub path: Cow<'a, [u8]>,
    /// Place of the model in that path.
    pub model: Option<Range<usize>>,
    /// Place in that path of the name of what a pod keeps.
    pub id: Option<Range<usize>>,
    /// True if the pod that answers keeps something, which the answer names.
    pub keeps: bool,
}

impl Operation {
    /// Returns the end of its path, with `{…}` for parts that differ.
    #[must_use]
    pub const fn path(&self) -> &'static str {
        self.pattern.text()
    }
}

impl Methods {
    fn fit(self, method: MethodKind) -> bool {
        match self {
            Self::Post => method == MethodKind::Posting,
            Self::Get => method != MethodKind::Posting,
            Self::Change => matches!(method, MethodKind::Posting | MethodKind::Deleting),
            Self::Any => method != MethodKind::Asking,
        }
    }
}

impl MethodKind {
    /// Envoy lets no request through that has no method.
    fn new(method: &[u8]) -> Self {
        match method {
            b"" | b"GET" | b"HEAD" | b"TRACE" => Self::Getting,
            b"DELETE" => Self::Deleting,
            b"OPTIONS" => Self::Asking,
            _ => Self::Posting,
        }
    }
}

fn is_encoded(content_encoding: &[u8]) -> bool {
    let encoding = content_encoding.trim_ascii();
    !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity")
}

impl<'a> Recognized<'a> {
    /// Finds the operation of a request. A body that no operation of the list has may be inference of
    /// an engine that is not known: it is placed by load, and by its model where it is JSON or a form.
    #[must_use]
    pub fn by_head(head: &RequestHead<'a>) -> Self {
        let path = plain(head.path);
        let form = Form::from_content_type(head.content_type);
        let method = MethodKind::new(head.method);
        // By method first: most operations bring a body, and most requests that compute nothing bring none.
        let found = OPERATIONS
            .iter()
            .filter(|it| it.methods.fit(method))
            .find_map(|operation| operation.pattern.find(&path).map(|place| (operation, place)));
        // A handshake is a GET (RFC 6455, 4.1), and an extended CONNECT over HTTP/2. What an engine takes with another
        // method, or is refused, it would take without the upgrade.
        let is_refused = found.as_ref().is_some_and(|(it, _)| it.class == Class::Refused);
        if head.upgrades && matches!(head.method, b"GET" | b"CONNECT") && !is_refused {
            let class = Class::Upgraded;
            return Self { class, form, path, model: None, id: None, keeps: false };
        }
        let (class, keeps, place) = match found {
            Some((operation, place)) => (operation.class, operation.keeps, place),
            // Methods that ask for no work: engines answer them at once.
            None if method != MethodKind::Posting => (Class::Direct, false, Found::default()),
            None => (Class::Read(Api::Other), false, Found::default()),
        };
        let (class, form) = match (class, form) {
            // Without a body there is nothing to compute; the engine says what is missing.
            (Class::Read(_) | Class::Named, form) if !head.has_body => (Class::Direct, form),
            (Class::Named, form) if form != Form::Json || is_encoded(head.content_encoding) => {
                (Class::Direct, form)
            }
            // What is compressed can't be read; the engine may.
            (Class::Read(_), _) if is_encoded(head.content_encoding) => (class, Form::Encoded),
            // Of a form no API is read but the model.
            (Class::Read(_), form @ Form::Multipart(_)) => (Class::Read(Api::Other), form),
            // What the header says it is keeps no body of a known API from being read.
            (Class::Read(api), Form::Opaque) if api != Api::Other => (class, Form::Json),
            as_found => as_found,
        };
        let Found { model, id } = place;
        Self { class, form, path, model, id, keeps }
    }

    /// Returns the API that the client speaks.
    #[must_use]
    pub const fn api(&self) -> Option<Api> {
        if let Class::Read(api) = self.class { Some(api) } else { None }
    }

    /// Returns the name in the path of what a pod keeps.
    #[must_use]
    pub fn id(&self) -> Option<&[u8]> {
        self.path.get(self.id.clone()?)
    }

    /// Returns the model that the path names. Bytes that are not UTF-8 read as U+FFFD.
    #[must_use]
    pub fn model(&self) -> Option<Cow<'_, str>> {
        let range = self.model.clone()?;
        self.path.get(range).map(String::from_utf8_lossy)
    }
}
