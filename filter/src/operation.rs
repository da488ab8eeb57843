//! The operation that a request asks for, by its headers.

use wire::{
    body::{Api, Form},
    operation::{self, Class, Recognized, RequestHead},
};

use crate::host::Headers;

/// An operation, as far as the headers tell it.
pub(crate) struct Operation {
    pub(crate) class: Class,
    /// Form of the body of an inference request.
    pub(crate) form: Form,
    /// The path, where that names the model.
    pub(crate) named: Option<NamedPath>,
    /// Name in the path of what a pod keeps.
    pub(crate) id: Option<Vec<u8>>,
    /// True if the pod that answers keeps something, which the answer names.
    pub(crate) keeps: bool,
}

/// A path that names a model.
pub(crate) struct NamedPath {
    pub(crate) model: String,
    /// The path as the client wrote it.
    sent: Vec<u8>,
    /// The same without query and escapes.
    plain: Vec<u8>,
    /// Place of the model in that.
    place: std::ops::Range<usize>,
}

impl Operation {
    /// Reads the operation of a request.
    pub(crate) fn read(headers: &Headers, has_body: bool) -> Self {
        let recognized = recognized(headers, has_body);
        let named =
            recognized.model().zip(recognized.model.clone()).map(|(model, place)| NamedPath {
                model: model.into_owned(),
                sent: headers.last(":path").unwrap_or_default().to_vec(),
                plain: recognized.path.to_vec(),
                place,
            });
        let id = recognized.id().map(<[u8]>::to_vec);
        Self { class: recognized.class, form: recognized.form, named, id, keeps: recognized.keeps }
    }

    /// True if the request computes nothing, and names nothing that a pod keeps or will keep.
    pub(crate) fn is_for_any(&self) -> bool {
        self.class == Class::Direct && self.named.is_none() && self.id.is_none() && !self.keeps
    }

    /// True if a request asks for the list of models.
    pub(crate) fn lists_models(headers: &Headers) -> bool {
        let header = |name| headers.last(name).unwrap_or_default();
        header(":method") == b"GET" && wire::models::is_asked_for(header(":path"))
    }

    /// Returns the API that a request with a body speaks; `None` for one that asks for no inference.
    pub(crate) fn api(headers: &Headers) -> Option<Api> {
        recognized(headers, true).api()
    }
}

impl NamedPath {
    /// Returns the path with another model in it.
    pub(crate) fn with(&self, model: &str) -> String {
        operation::with_model(&self.sent, &self.plain, self.place.clone(), model)
    }
}

/// Finds the operation that the request asks for, by the path that it has or had before a proxy rewrote it.
fn recognized(headers: &Headers, has_body: bool) -> Recognized<'_> {
    let header = |name| headers.last(name).unwrap_or_default();
    let head = RequestHead {
        method: header(":method"),
        path: header(":path"),
        content_type: header("content-type"),
        content_encoding: header("content-encoding"),
        upgrades: headers.has("upgrade"),
        has_body,
    };
    let by_path = |path| Recognized::by_head(&RequestHead { path, ..head });
    let own = by_path(head.path);
    if own.class != Class::Read(Api::Other) {
        return own;
    }
    // Whatever path the proxy chose, the client asked for what it was before.
    let before = ["x-original-path", "x-forwarded-path"];
    let known = before.iter().filter_map(|name| Some(by_path(headers.last(name)?)));
    let mut known = known.filter(|it| it.api().is_some_and(|api| api != Api::Other));
    // A model in that path is not in the one that goes on.
    known.next().map_or(own, |it| Recognized { model: None, ..it })
}
