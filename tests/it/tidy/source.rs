//! A crate's source as the rules see it: a tree of modules, with tests left out.

use std::collections::BTreeSet;

use syn::{Attribute, ImplItem, Item, spanned::Spanned, visit::Visit};

/// The text of a file by its path from the project's root, if there is such a file.
pub(super) type Read<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A module of a crate, in a file of its own or within another's.
pub(super) struct Module {
    /// Names from the crate's root down; none for the root itself.
    pub(super) path: Vec<String>,
    /// Path of its file from the project's root.
    pub(super) file: String,
    pub(super) items: Vec<Item>,
}

/// All modules below the root `file` of a crate, the root first; those for tests only are left out.
pub(super) fn modules(read: Read<'_>, file: &str) -> Vec<Module> {
    let mut found = Vec::new();
    let folder = file.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let items = parse(read, file).unwrap_or_else(|| panic!("{file} is missing"));
    let root = Module { path: Vec::new(), file: file.to_owned(), items };
    add(read, root, &folder, &mut found);
    found
}

fn add(read: Read<'_>, module: Module, folder: &str, found: &mut Vec<Module>) {
    let mut children = Vec::new();
    for item in &module.items {
        let Item::Mod(child) = item else { continue };
        let name = child.ident.to_string();
        let path = [module.path.as_slice(), std::slice::from_ref(&name)].concat();
        let below = format!("{folder}{name}/");
        let child = match &child.content {
            Some((_, items)) => {
                let items = items.iter().filter(|item| !is_test(item)).cloned().collect();
                Module { path, file: module.file.clone(), items }
            }
            None => {
                let file = format!("{folder}{name}.rs");
                let items = parse(read, &file).unwrap_or_else(|| panic!("{file} is missing"));
                Module { path, file, items }
            }
        };
        children.push((child, below));
    }
    found.push(module);
    for (child, folder) in children {
        add(read, child, &folder, found);
    }
}

fn parse(read: Read<'_>, file: &str) -> Option<Vec<Item>> {
    let parsed = syn::parse_file(&read(file)?).unwrap_or_else(|error| panic!("{file}: {error}"));
    Some(parsed.items.into_iter().filter(|item| !is_test(item)).collect())
}

/// Numbers of the lines of a file, from 1, that are compiled for tests only.
pub(super) fn test_lines(file: &syn::File) -> BTreeSet<usize> {
    #[derive(Default)]
    struct Tests(BTreeSet<usize>);
    impl<'ast> Visit<'ast> for Tests {
        fn visit_item(&mut self, item: &'ast Item) {
            if is_test(item) {
                self.0.extend(lines(item));
            } else {
                syn::visit::visit_item(self, item);
            }
        }

        fn visit_impl_item(&mut self, item: &'ast ImplItem) {
            if is_test_method(item) {
                self.0.extend(lines(item));
            } else {
                syn::visit::visit_impl_item(self, item);
            }
        }
    }
    let mut tests = Tests::default();
    tests.visit_file(file);
    tests.0
}

/// The lines from a node's first attribute to its end.
pub(super) fn lines(node: &impl Spanned) -> std::ops::RangeInclusive<usize> {
    let span = node.span();
    span.start().line..=span.end().line
}

pub(super) fn is_test(item: &Item) -> bool {
    let attributes: &[Attribute] = match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    };
    attributes.iter().any(is_cfg_test)
}

pub(super) fn is_test_method(item: &ImplItem) -> bool {
    matches!(item, ImplItem::Fn(method) if method.attrs.iter().any(is_cfg_test))
}

fn is_cfg_test(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
}
