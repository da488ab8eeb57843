//! Modules that use each other in a circle cannot be read, tested or moved one by one: arrows between siblings go one way.
//! A parent and its children count as one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    graph::{Arrow, arrows},
    source::Module,
};

/// Siblings by name, each with those that it uses and one use of each.
type Siblings = BTreeMap<String, BTreeMap<String, String>>;

/// A message for each knot of modules of which every one uses every other, directly or through others.
pub(super) fn circles(modules: &[Module]) -> Vec<String> {
    let mut families: BTreeMap<Vec<String>, Siblings> = BTreeMap::new();
    for arrow in arrows(modules) {
        let Some(Siblinghood { parent, from, to }) = siblings(&arrow) else { continue };
        let uses = families.entry(parent).or_default().entry(from).or_default();
        uses.entry(to).or_insert(arrow.said);
    }
    families
        .iter()
        .flat_map(|(parent, family)| {
            knots(family).into_iter().map(|knot| told(parent, family, &knot))
        })
        .collect()
}

/// The modules side by side between which an arrow crosses.
struct Siblinghood {
    parent: Vec<String>,
    from: String,
    to: String,
}

/// None if one module is the other, or has it below it.
fn siblings(arrow: &Arrow) -> Option<Siblinghood> {
    let shared = arrow.from.iter().zip(&arrow.to).take_while(|(from, to)| from == to).count();
    let (from, to) = (arrow.from.get(shared)?, arrow.to.get(shared)?);
    Some(Siblinghood { parent: arrow.from[..shared].to_vec(), from: from.clone(), to: to.clone() })
}

/// Sets of more than one module, each within reach of all others of its set.
fn knots(family: &Siblings) -> BTreeSet<BTreeSet<String>> {
    let reach: BTreeMap<&String, BTreeSet<String>> =
        family.keys().map(|name| (name, reachable(family, name))).collect();
    let knot = |name: &String| -> BTreeSet<String> {
        let back = |other: &&String| reach.get(other).is_some_and(|reached| reached.contains(name));
        reach[name].iter().filter(back).cloned().collect()
    };
    family.keys().map(knot).filter(|knot| knot.len() > 1).collect()
}

fn reachable(family: &Siblings, from: &String) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(name) = waiting.pop() {
        let next = family.get(name).into_iter().flat_map(BTreeMap::keys);
        waiting.extend(next.filter(|to| found.insert((*to).clone())));
    }
    found
}

fn told(parent: &[String], family: &Siblings, knot: &BTreeSet<String>) -> String {
    let circle =
        knot.iter().filter_map(|name| shortest(family, name)).min_by_key(Vec::len).unwrap();
    let place = [&["crate".to_owned()], parent].concat().join("::");
    let mut said = format!("circle in {place}: {}", circle.join(" -> "));
    for pair in circle.windows(2) {
        said.push_str(&format!("\n    {} -> {}: {}", pair[0], pair[1], family[&pair[0]][&pair[1]]));
    }
    if knot.len() > circle.len() - 1 {
        let all: Vec<&str> = knot.iter().map(String::as_str).collect();
        said.push_str(&format!("\n    one of several among {}", all.join(", ")));
    }
    said
}

/// The shortest way from a module back to itself, with the module at both ends.
fn shortest(family: &Siblings, start: &String) -> Option<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut ways = VecDeque::from([vec![start.clone()]]);
    while let Some(way) = ways.pop_front() {
        for next in family.get(way.last()?).into_iter().flat_map(BTreeMap::keys) {
            let longer = [way.as_slice(), std::slice::from_ref(next)].concat();
            if next == start {
                return Some(longer);
            }
            if seen.insert(next) {
                ways.push_back(longer);
            }
        }
    }
    None
}

/// The circles of a crate that is made up: files by their paths, `lib.rs` the root.
fn of_sources(files: &[(&str, &str)]) -> Vec<String> {
    let read = |name: &str| {
        files.iter().find(|(file, _)| *file == name).map(|(_, text)| (*text).to_owned())
    };
    circles(&super::source::modules(&read, "lib.rs"))
}

#[test]
fn modules_that_use_each_other_are_a_circle_and_each_use_is_named() {
    let found = of_sources(&[
        ("lib.rs", "mod a;\nmod b;"),
        ("a.rs", "use crate::b::B;\npub struct A(B);"),
        ("b.rs", "pub struct B;\nfn make(a: super::a::A) {}"),
    ]);
    let said = "circle in crate: a -> b -> a\
        \n    a -> b: a.rs:1 uses crate::b::B\
        \n    b -> a: b.rs:2 uses super::a::A";
    assert_eq!(found, [said]);
}

#[test]
fn a_circle_through_a_reexport_is_found() {
    let found = of_sources(&[
        ("lib.rs", "mod a;\nmod b;\npub use a::*;\npub use b::inner::B as Bee;"),
        ("a.rs", "use crate::Bee;\npub struct A(Bee);"),
        ("b.rs", "pub mod inner;"),
        ("b/inner.rs", "use crate::A;\npub struct B(A);"),
    ]);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("circle in crate: a -> b -> a"), "{found:?}");
}

#[test]
fn a_child_that_uses_its_parent_is_no_circle() {
    let found = of_sources(&[
        ("lib.rs", "mod a;"),
        ("a.rs", "mod child;\nuse child::Child;\npub struct A(Child);\nstruct Limit;"),
        ("a/child.rs", "use super::Limit;\npub struct Child(Limit);"),
    ]);
    assert_eq!(found, [""; 0]);
}

#[test]
fn children_of_one_parent_are_looked_at_as_well() {
    let found = of_sources(&[(
        "lib.rs",
        "mod a { pub mod b { pub fn one() { super::c::two(); } }\npub mod c { use crate::a::b; pub fn two() { b::one(); } } }",
    )]);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("circle in crate::a: b -> c -> b"), "{found:?}");
}

#[test]
fn an_arrow_leads_to_the_module_that_defines_the_name_and_not_to_those_between() {
    // b hands on what c defines, so that c may use b's own and is in no circle with a.
    let found = of_sources(&[
        ("lib.rs", "mod a;\nmod b;\nmod c;"),
        ("a.rs", "use crate::b::C;\npub struct A(C);"),
        ("b.rs", "pub use crate::c::C;\nuse crate::a::A;\npub struct B(A);"),
        ("c.rs", "pub enum C { One }"),
    ]);
    assert_eq!(found, [""; 0]);
}

#[test]
fn paths_in_macros_count() {
    let found = of_sources(&[
        ("lib.rs", "mod a;\nmod b;"),
        ("a.rs", "use crate::b;\npub fn one() { println!(\"{}\", b::two()) }"),
        ("b.rs", "pub fn two() { assert!(x.y == crate::a::one(), \"{}\", 1) }"),
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn tests_and_variables_named_as_modules_do_not_count() {
    let found = of_sources(&[
        ("lib.rs", "mod a;\nmod b;"),
        ("a.rs", "use crate::b::two;\npub fn one() { two() }"),
        (
            "b.rs",
            "pub fn two() { let a = 1; drop(a); }\n#[cfg(test)]\nmod tests { use crate::a::one; }\n#[cfg(test)]\nuse crate::a;",
        ),
    ]);
    assert_eq!(found, [""; 0]);
}
