//! The paths that a module's code names: in `use`, in types, in expressions, in macros.

use proc_macro2::{TokenStream, TokenTree};
use syn::{ImplItem, Item, ItemUse, Macro, Path, UseTree, Visibility, visit::Visit};

use super::source::{Module, is_test, is_test_method};

/// A path as it is written, for example `crate::pool::Pool`.
#[derive(Clone)]
pub(super) struct Mention {
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
}

/// A leaf of a `use`: a path, and the name under which it is known from then on.
pub(super) struct Import {
    pub(super) path: Mention,
    /// None for `*`, which brings every name.
    pub(super) name: Option<String>,
}

/// Paths that a module names, and its imports anywhere in its code: one within a function counts as the module's own.
#[derive(Default)]
pub(super) struct Paths {
    pub(super) mentions: Vec<Mention>,
    pub(super) imports: Vec<Import>,
}

impl Paths {
    /// Reads a module without its child modules, which are modules by themselves.
    pub(super) fn of_module(module: &Module) -> Self {
        let mut paths = Self::default();
        for item in module.items.iter().filter(|item| !matches!(item, Item::Mod(_))) {
            paths.visit_item(item);
        }
        paths
    }

    fn add_use(&mut self, tree: &UseTree, before: &[String]) {
        let below = |name: String| [before, &[name]].concat();
        match tree {
            UseTree::Path(path) => self.add_use(&path.tree, &below(path.ident.to_string())),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_use(tree, before)),
            UseTree::Name(leaf) if leaf.ident == "self" => {
                let line = leaf.ident.span().start().line;
                self.add_import(before.to_vec(), line, before.last().cloned());
            }
            UseTree::Name(leaf) => {
                let name = leaf.ident.to_string();
                self.add_import(below(name.clone()), leaf.ident.span().start().line, Some(name));
            }
            UseTree::Rename(leaf) => {
                let line = leaf.ident.span().start().line;
                let name = leaf.ident.to_string();
                let path = if name == "self" { before.to_vec() } else { below(name) };
                self.add_import(path, line, Some(leaf.rename.to_string()));
            }
            UseTree::Glob(star) => {
                self.add_import(before.to_vec(), star.star_token.spans[0].start().line, None);
            }
        }
    }

    fn add_import(&mut self, segments: Vec<String>, line: usize, name: Option<String>) {
        self.imports.push(Import { path: Mention { segments, line }, name });
    }

    /// Finds paths among tokens that nothing has parsed: a macro's arguments.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path: Option<Mention> = None;
        let mut marks = String::new();
        for token in tokens {
            match token {
                TokenTree::Ident(ident) if path.is_some() && marks == "::" => {
                    path.iter_mut().for_each(|path| path.segments.push(ident.to_string()));
                    marks.clear();
                }
                TokenTree::Ident(ident) => {
                    self.mentions.extend(path.take());
                    // A name behind a dot is a field or a method.
                    if !marks.ends_with('.') {
                        let line = ident.span().start().line;
                        path = Some(Mention { segments: vec![ident.to_string()], line });
                    }
                    marks.clear();
                }
                TokenTree::Punct(mark) => marks.push(mark.as_char()),
                TokenTree::Group(group) => {
                    self.add_tokens(group.stream());
                    marks.clear();
                }
                TokenTree::Literal(_) => marks.clear(),
            }
        }
        self.mentions.extend(path);
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(item) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if !is_test_method(item) {
            syn::visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_use(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast Path) {
        if path.leading_colon.is_none() {
            let segments: Vec<String> =
                path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            let line = path.segments.first().map_or(0, |first| first.ident.span().start().line);
            self.mentions.push(Mention { segments, line });
        }
        // Further paths may stand between its angle brackets.
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_path(&call.path);
        self.add_tokens(call.tokens.clone());
    }

    // `pub(in crate::pool)` and `#[derive(…)]` use nothing of another module.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
}
