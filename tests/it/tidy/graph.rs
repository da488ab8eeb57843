//! The graph of a crate's modules: which uses which, whatever re-exports stand between.

use std::collections::{BTreeMap, BTreeSet};

use syn::Item;

use super::{
    paths::{Mention, Paths},
    source::Module,
};

/// A use of one module by another.
pub(super) struct Arrow {
    pub(super) from: Vec<String>,
    pub(super) to: Vec<String>,
    /// The place and the path, as an error names them: `core/src/pool.rs:12 uses crate::time::Instant`.
    pub(super) said: String,
}

/// All uses of one module of a crate by another.
pub(super) fn arrows(modules: &[Module]) -> Vec<Arrow> {
    let graph = Graph::new(modules);
    let mut found = Vec::new();
    for (here, paths) in graph.paths.iter().enumerate() {
        let imports = paths.imports.iter().flat_map(|import| {
            graph
                .resolve(here, &import.path.segments)
                .into_iter()
                .map(|end| (&import.path, end.module))
        });
        // A module's name alone is no expression: a variable has the same name.
        let mentions = paths.mentions.iter().flat_map(|path| {
            let ends = graph.resolve(here, &path.segments).into_iter();
            ends.filter(|end| !end.is_module).map(move |end| (path, end.module))
        });
        for (path, to) in imports.chain(mentions) {
            found.push(graph.arrow(here, to, path));
        }
    }
    found
}

/// The meaning of a name within a module.
enum Binding {
    Item,
    Child(usize),
    Import(Vec<String>),
}

/// The end of a path: a module as such, or an item in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    module: usize,
    is_module: bool,
}

struct Graph<'a> {
    modules: &'a [Module],
    paths: Vec<Paths>,
    scopes: Vec<BTreeMap<String, Vec<Binding>>>,
}

/// The names that are being looked up: an import that leads back to itself ends there.
type Open = BTreeSet<(usize, String)>;

impl<'a> Graph<'a> {
    fn new(modules: &'a [Module]) -> Self {
        let paths: Vec<Paths> = modules.iter().map(Paths::of_module).collect();
        let mut scopes: Vec<BTreeMap<String, Vec<Binding>>> = Vec::new();
        for (module, paths) in modules.iter().zip(&paths) {
            let mut scope: BTreeMap<String, Vec<Binding>> = BTreeMap::new();
            for name in module.items.iter().filter_map(defined) {
                scope.entry(name).or_default().push(Binding::Item);
            }
            for import in &paths.imports {
                let Some(name) = &import.name else { continue };
                let path = import.path.segments.clone();
                scope.entry(name.clone()).or_default().push(Binding::Import(path));
            }
            scopes.push(scope);
        }
        for (child, module) in modules.iter().enumerate() {
            let Some((name, parent)) = module.path.split_last() else { continue };
            let parent = modules.iter().position(|module| module.path == parent).unwrap();
            scopes[parent].entry(name.clone()).or_default().push(Binding::Child(child));
        }
        Self { modules, paths, scopes }
    }

    fn arrow(&self, from: usize, to: usize, path: &Mention) -> Arrow {
        let place = format!("{}:{}", self.modules[from].file, path.line);
        Arrow {
            from: self.modules[from].path.clone(),
            to: self.modules[to].path.clone(),
            said: format!("{place} uses {}", path.segments.join("::")),
        }
    }

    /// Follows a path that is written in a module: to nothing here if it leads to another crate.
    fn resolve(&self, here: usize, path: &[String]) -> BTreeSet<End> {
        self.follow(here, path, &mut Open::new())
    }

    fn follow(&self, here: usize, path: &[String], open: &mut Open) -> BTreeSet<End> {
        let Some((first, rest)) = path.split_first() else {
            return BTreeSet::from([End { module: here, is_module: true }]);
        };
        match first.as_str() {
            "crate" => self.follow(0, rest, open),
            "self" => self.follow(here, rest, open),
            "super" => {
                self.parent(here).map_or_else(BTreeSet::new, |up| self.follow(up, rest, open))
            }
            name => self.look_up(here, name, rest, open),
        }
    }

    fn look_up(&self, here: usize, name: &str, rest: &[String], open: &mut Open) -> BTreeSet<End> {
        let mut ends = BTreeSet::new();
        for binding in self.scopes[here].get(name).into_iter().flatten() {
            match binding {
                Binding::Item => _ = ends.insert(End { module: here, is_module: false }),
                Binding::Child(child) => ends.extend(self.follow(*child, rest, open)),
                Binding::Import(path) => ends.extend(self.through(here, path, rest, open)),
            }
        }
        if ends.is_empty() {
            for import in self.paths[here].imports.iter().filter(|import| import.name.is_none()) {
                let behind = [&[name.to_owned()], rest].concat();
                ends.extend(self.through(here, &import.path.segments, &behind, open));
            }
        }
        ends
    }

    /// Follows an import, and from its end the rest of a path. The rest behind an item, a variant for example, is the item's own.
    fn through(
        &self,
        here: usize,
        import: &[String],
        rest: &[String],
        open: &mut Open,
    ) -> BTreeSet<End> {
        let key = (here, [import, rest].concat().join("::"));
        if !open.insert(key.clone()) {
            return BTreeSet::new();
        }
        let mut ends = BTreeSet::new();
        for end in self.follow(here, import, open) {
            if end.is_module {
                ends.extend(self.follow(end.module, rest, open));
            } else {
                ends.insert(end);
            }
        }
        open.remove(&key);
        ends
    }

    fn parent(&self, module: usize) -> Option<usize> {
        let (_, parent) = self.modules[module].path.split_last()?;
        self.modules.iter().position(|module| module.path == parent)
    }
}

/// The name of an item that others can name.
fn defined(item: &Item) -> Option<String> {
    Some(match item {
        Item::Const(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Fn(item) => item.sig.ident.to_string(),
        Item::Macro(item) => item.ident.as_ref()?.to_string(),
        Item::Static(item) => item.ident.to_string(),
        Item::Struct(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        _ => return None,
    })
}
