//! Within a crate the name of a type means one thing, private types included.

use std::collections::BTreeMap;

use syn::{Ident, Item, visit::Visit};

use super::source::{Module, is_test};

/// Names that several types of a crate share, each with where they are.
pub(super) fn shared_names(modules: &[Module]) -> Vec<String> {
    let mut types = Types::default();
    for module in modules {
        types.file.clone_from(&module.file);
        for item in module.items.iter().filter(|item| !matches!(item, Item::Mod(_))) {
            types.visit_item(item);
        }
    }
    let several = types.places.iter().filter(|(_, places)| places.len() > 1);
    several.map(|(name, places)| format!("{name}: {}", places.join(", "))).collect()
}

/// Types by name, those within functions too.
#[derive(Default)]
struct Types {
    file: String,
    places: BTreeMap<String, Vec<String>>,
}

impl Types {
    fn add(&mut self, name: &Ident) {
        let place = format!("{}:{}", self.file, name.span().start().line);
        self.places.entry(name.to_string()).or_default().push(place);
    }
}

impl<'ast> Visit<'ast> for Types {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_test(item) {
            return;
        }
        match item {
            Item::Struct(item) => self.add(&item.ident),
            Item::Enum(item) => self.add(&item.ident),
            Item::Trait(item) => self.add(&item.ident),
            _ => {}
        }
        syn::visit::visit_item(self, item);
    }
}

#[test]
fn types_in_different_modules_may_not_share_a_name() {
    let files = [
        ("lib.rs", "mod a;\npub struct Sent;\ntype Other = u8;"),
        (
            "a.rs",
            "fn f() {\n    enum Sent {}\n}\nstruct Own;\n#[cfg(test)]\nmod tests { struct Own; }",
        ),
    ];
    let read = |name: &str| {
        files.iter().find(|(file, _)| *file == name).map(|(_, text)| (*text).to_owned())
    };
    let found = shared_names(&super::source::modules(&read, "lib.rs"));
    assert_eq!(found, ["Sent: lib.rs:2, a.rs:2"]);
}
