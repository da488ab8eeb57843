//! The filter's cells: one for the VM and one per stream, and neither is borrowed while the host is called, but for its clock where
//! plugins are timed, which is handed on and not called there.
//!
//! Envoy may call into the VM again while it carries out what the VM asked for, and a borrow that is held by then is a panic.
//! Functions are told apart by name, so a name that reaches the host anywhere counts as reaching it.

use std::collections::{BTreeMap, BTreeSet};

use syn::{
    Expr, ExprCall, ExprClosure, ExprMethodCall, ExprPath, ImplItemFn, ItemFn, Macro,
    visit::{self, Visit},
};

use super::{
    root,
    source::{Module, modules},
};

/// Files with a cell: a stream's phase, the VM's state, and what has come of a push.
const WITH_CELL: [&str; 3] = ["filter/src/stream.rs", "filter/src/vm.rs", "filter/src/ingest.rs"];

/// The file with cells that are set once and never borrowed: the pools that a plugin instance takes part in.
const SET_ONCE: &str = "filter/src/pools.rs";

/// Functions that borrow the VM's cell for the closure that they are given.
const BORROWING: [&str; 4] = ["with", "in_pool", "lend", "with_borrow_mut"];

/// The one function of the host that may be handed on to what is borrowed: it gives a number, and Envoy does nothing else meanwhile.
const CLOCK: &str = "now";

/// Ways to use a stream's cell: each borrows it for as long as a move takes.
const MOVES: [&str; 2] = ["take", "replace"];

fn filter() -> Vec<Module> {
    let read = |file: &str| std::fs::read_to_string(root().join(file)).ok();
    modules(&read, "filter/src/lib.rs")
}

#[test]
fn only_the_vm_and_a_stream_have_a_cell() {
    for module in filter() {
        let names = idents(&module);
        let may_be_set =
            |name: &str| module.file == SET_ONCE && ["OnceCell", "cell"].contains(&name);
        let is_cell = |name: &&String| name.ends_with("Cell") || *name == "cell";
        let cells: Vec<&String> =
            names.iter().filter(is_cell).filter(|name| !may_be_set(name)).collect();
        let may = WITH_CELL.contains(&module.file.as_str());
        assert!(cells.is_empty() || may, "{} has {cells:?}; allowed in {WITH_CELL:?}", module.file);
    }
}

#[test]
fn a_streams_phase_is_moved_and_never_borrowed() {
    let stream = filter().into_iter().find(|module| module.file == WITH_CELL[0]).unwrap();
    let mut uses = PhaseUses::default();
    stream.items.iter().for_each(|item| uses.visit_item(item));
    assert!(!uses.0.is_empty(), "the rule finds no use of the phase");
    let borrows: Vec<&String> =
        uses.0.iter().filter(|name| !MOVES.contains(&name.as_str())).collect();
    assert!(borrows.is_empty(), "the phase is used by {borrows:?}; allowed: {MOVES:?}");
}

#[test]
fn nothing_that_is_borrowed_calls_the_host() {
    let modules = filter();
    let reaching = reaching(&modules);
    let mut found = Vec::new();
    for module in &modules {
        let mut parts = Parts { reaching: &reaching, found: Vec::new(), parts: 0 };
        module.items.iter().for_each(|item| parts.visit_item(item));
        found.extend(parts.found.into_iter().map(|call| format!("{}: {call}", module.file)));
    }
    assert_eq!(found, [] as [String; 0], "calls of the host while the VM's state is borrowed");
}

#[test]
fn the_rule_finds_a_call_at_one_remove() {
    let source = "fn now() { hostcalls::now() }\nfn at() { now() }\n\
                  fn good() { vm::with(|vm| vm.x) }\nfn bad() { vm::with(|vm| at()) }\n\
                  fn logs() { with(|_| log::warn!(\"\")) }\n\
                  fn hands() { with(|vm| vm.x(now, host::now, host::at)) }";
    let module = Module {
        path: Vec::new(),
        file: "a.rs".to_owned(),
        items: syn::parse_file(source).unwrap().items,
    };
    let reaching = reaching(std::slice::from_ref(&module));
    assert_eq!(reaching, ["at", "bad", "logs", "now"].map(str::to_owned).into());
    let mut parts = Parts { reaching: &reaching, found: Vec::new(), parts: 0 };
    module.items.iter().for_each(|item| parts.visit_item(item));
    let found = ["at", "log", "at"].map(str::to_owned).to_vec();
    assert_eq!((parts.found, parts.parts), (found, 4));
}

fn idents(module: &Module) -> BTreeSet<String> {
    struct Idents(BTreeSet<String>);
    impl<'a> Visit<'a> for Idents {
        fn visit_ident(&mut self, ident: &'a syn::Ident) {
            self.0.insert(ident.to_string());
        }
    }
    let mut found = Idents(BTreeSet::new());
    for item in &module.items {
        // A child is a module of its own here.
        if !matches!(item, syn::Item::Mod(_)) {
            found.visit_item(item);
        }
    }
    found.0
}

/// Methods that are called on `self.phase`.
#[derive(Default)]
struct PhaseUses(BTreeSet<String>);

impl<'a> Visit<'a> for PhaseUses {
    fn visit_expr_method_call(&mut self, call: &'a ExprMethodCall) {
        if let Expr::Field(field) = &*call.receiver
            && let syn::Member::Named(name) = &field.member
            && name == "phase"
            && matches!(&*field.base, Expr::Path(path) if path.path.is_ident("self"))
        {
            self.0.insert(call.method.to_string());
        }
        visit::visit_expr_method_call(self, call);
    }
}

/// Names of functions that call the host, by themselves or through others.
fn reaching(modules: &[Module]) -> BTreeSet<String> {
    let mut functions = Functions::default();
    for module in modules {
        module.items.iter().for_each(|item| functions.visit_item(item));
    }
    let calls = functions.0;
    let mut reaching: BTreeSet<String> = BTreeSet::new();
    loop {
        let more: Vec<String> = calls
            .iter()
            .filter(|(name, calls)| {
                let host = |call: &String| call == "hostcalls" || call == "log";
                !reaching.contains(*name)
                    && calls.iter().any(|call| host(call) || reaching.contains(call))
            })
            .map(|(name, _)| name.clone())
            .collect();
        if more.is_empty() {
            return reaching;
        }
        reaching.extend(more);
    }
}

/// The calls that each function makes, by names.
#[derive(Default)]
struct Functions(BTreeMap<String, BTreeSet<String>>);

impl<'a> Visit<'a> for Functions {
    fn visit_item_fn(&mut self, function: &'a ItemFn) {
        self.add(&function.sig.ident, |calls| calls.visit_block(&function.block));
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'a ImplItemFn) {
        self.add(&function.sig.ident, |calls| calls.visit_block(&function.block));
        visit::visit_impl_item_fn(self, function);
    }
}

impl Functions {
    fn add(&mut self, name: &syn::Ident, visit: impl FnOnce(&mut Calls)) {
        let mut calls = Calls::default();
        visit(&mut calls);
        self.0.entry(name.to_string()).or_default().extend(calls.0);
    }
}

/// Functions, methods and modules that are called in a piece of code.
#[derive(Default)]
struct Calls(BTreeSet<String>);

impl<'a> Visit<'a> for Calls {
    fn visit_expr_call(&mut self, call: &'a ExprCall) {
        if let Expr::Path(path) = &*call.func {
            let names: Vec<String> =
                path.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.0.extend(called(&names));
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_macro(&mut self, called: &'a Macro) {
        if called.path.segments.first().is_some_and(|first| first.ident == "log") {
            self.0.insert("log".to_owned());
        }
    }
}

/// Functions of other modules that are handed on as values in a piece of code.
#[derive(Default)]
struct Handed(BTreeSet<String>);

impl<'a> Visit<'a> for Handed {
    fn visit_expr_call(&mut self, call: &'a ExprCall) {
        // What is called is none of them.
        call.args.iter().for_each(|argument| self.visit_expr(argument));
    }

    fn visit_expr_path(&mut self, path: &'a ExprPath) {
        let segments = &path.path.segments;
        if let (2.., Some(last)) = (segments.len(), segments.last()) {
            self.0.insert(last.ident.to_string());
        }
    }
}

/// A function by its name, and the door by its module's. A type's function is told by both, as many types have a `new`.
fn called(names: &[String]) -> Vec<String> {
    let is_type = |name: &String| name.starts_with(char::is_uppercase);
    match names {
        [.., owner, _] if is_type(owner) => vec![names[names.len() - 2..].join("::")],
        [first, ..] if first == "hostcalls" => vec![first.clone()],
        [first, ..] if first == "std" || first == "mem" => Vec::new(),
        [.., last] => vec![last.clone()],
        [] => Vec::new(),
    }
}

/// Closures that are run while the VM's state is borrowed, and the calls of the host in them.
struct Parts<'a> {
    reaching: &'a BTreeSet<String>,
    found: Vec<String>,
    parts: usize,
}

impl Parts<'_> {
    fn look(&mut self, part: &ExprClosure) {
        self.parts += 1;
        let mut calls = Calls::default();
        calls.visit_expr(&part.body);
        let reaching = |call: &String| call == "log" || self.reaching.contains(call);
        let mut handed = Handed::default();
        handed.visit_expr(&part.body);
        let handed = handed.0.into_iter().filter(|name| name != CLOCK);
        let found: Vec<String> = calls.0.into_iter().chain(handed).filter(reaching).collect();
        self.found.extend(found);
    }
}

impl<'a> Visit<'a> for Parts<'_> {
    fn visit_expr_call(&mut self, call: &'a ExprCall) {
        if let Expr::Path(path) = &*call.func
            && path.path.segments.last().is_some_and(|last| borrows(&last.ident))
        {
            call.args.iter().for_each(|argument| self.look_at(argument));
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'a ExprMethodCall) {
        if borrows(&call.method) {
            call.args.iter().for_each(|argument| self.look_at(argument));
        }
        visit::visit_expr_method_call(self, call);
    }
}

impl Parts<'_> {
    fn look_at(&mut self, argument: &Expr) {
        if let Expr::Closure(part) = argument {
            self.look(part);
        }
    }
}

fn borrows(name: &syn::Ident) -> bool {
    BORROWING.iter().any(|borrowing| name == borrowing)
}
