//! A file is read in one sitting, a function on one screen.

use syn::{ImplItemFn, ItemFn, TraitItemFn, visit::Visit};

use super::source::{is_test, is_test_method, lines, test_lines};

/// Limit of a file without its tests: one noun, read from the top. A longer file is two nouns.
const FILE_LINES_MAX: usize = 400;

/// Limit of a function from its signature to its closing brace: one screen.
const FUNCTION_LINES_MAX: usize = 70;

/// A message for a file and for each of its functions that is too long, tests left out.
pub(super) fn too_long(file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let parsed = syn::parse_file(text).unwrap();
    let count = text.lines().count() - test_lines(&parsed).len();
    if count > FILE_LINES_MAX {
        found.push(format!("{file} has {count} lines; at most {FILE_LINES_MAX}"));
    }
    let mut functions = Functions::default();
    functions.visit_file(&parsed);
    for (name, count) in functions.0.iter().filter(|(_, count)| *count > FUNCTION_LINES_MAX) {
        found.push(format!("{file}: {name} has {count} lines; at most {FUNCTION_LINES_MAX}"));
    }
    found
}

/// Names and lengths of functions.
#[derive(Default)]
struct Functions(Vec<(String, usize)>);

impl Functions {
    fn add(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let length = lines(body).end() - lines(signature).start() + 1;
        self.0.push((signature.ident.to_string(), length));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(item) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        if !is_test_method(item) {
            syn::visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.add(&item.sig, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.add(&item.sig, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(body) = &item.default {
            self.add(&item.sig, body);
        }
        syn::visit::visit_trait_item_fn(self, item);
    }
}

#[test]
fn tests_do_not_count_and_long_functions_do() {
    let body = "    call();\n".repeat(FUNCTION_LINES_MAX);
    let tests = "    // A line.\n".repeat(FILE_LINES_MAX);
    let text = format!("fn long() {{\n{body}}}\n#[cfg(test)]\nmod tests {{\n{tests}}}\n");
    assert_eq!(too_long("a.rs", &text), ["a.rs: long has 72 lines; at most 70"]);
    let long = "// A line.\n".repeat(FILE_LINES_MAX + 1);
    assert_eq!(too_long("a.rs", &long), ["a.rs has 401 lines; at most 400"]);
}
