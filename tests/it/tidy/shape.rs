//! Shape of every crate of the workspace: modules in layers, one meaning for a name, short files, comments that stand by
//! themselves.

use std::fs;

use super::{
    circles::circles,
    comments::Comments,
    crates::{Crate, crates},
    names::shared_names,
    root,
    sizes::too_long,
    source::{Module, modules},
};

/// Share of documentation comments that may begin with a pronoun or a question word, in percent: some sentences need one.
const DANGLING_PERCENT_MAX: usize = 4;

/// Number of words for people in comments: operators and clients are some.
const PEOPLE_MAX: usize = 20;

/// The modules of a crate, by its roots: a library and a program share no module.
fn roots(found: &Crate) -> impl Iterator<Item = Vec<Module>> {
    found.roots.iter().map(|file| modules(&|file| fs::read_to_string(root().join(file)).ok(), file))
}

/// The comments of all sources.
fn comments() -> Comments {
    let mut comments = Comments::default();
    for file in crates().iter().flat_map(Crate::files) {
        comments.add(&file, &fs::read_to_string(root().join(&file)).unwrap());
    }
    comments
}

fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "{} found:\n{}", found.len(), found.join("\n"));
}

#[test]
fn no_modules_use_each_other_in_a_circle() {
    let of_crate = |found: Crate| -> Vec<String> {
        let said = |circle: String| format!("{}: {circle}", found.folder);
        roots(&found).flat_map(|modules| circles(&modules)).map(said).collect()
    };
    assert_none(&crates().into_iter().flat_map(of_crate).collect::<Vec<_>>());
}

#[test]
fn the_name_of_a_type_means_one_thing_in_a_crate() {
    let of_crate = |found: Crate| {
        let all: Vec<Module> = roots(&found).flatten().collect();
        shared_names(&all)
    };
    assert_none(&crates().into_iter().flat_map(of_crate).collect::<Vec<_>>());
}

#[test]
fn no_file_and_no_function_is_too_long() {
    let files = crates().into_iter().flat_map(|found| found.files());
    let of_file = |file: String| too_long(&file, &fs::read_to_string(root().join(&file)).unwrap());
    assert_none(&files.flat_map(of_file).collect::<Vec<_>>());
}

#[test]
fn comments_name_what_they_are_about() {
    let comments = comments();
    let found = comments.dangling.len();
    assert!(
        found * 100 <= comments.documents * DANGLING_PERCENT_MAX,
        "{found} of {} documentation comments begin with a pronoun or a question word; at most \
         {DANGLING_PERCENT_MAX} %:\n{}",
        comments.documents,
        comments.dangling.join("\n")
    );
}

#[test]
fn comments_do_not_call_machines_somebody() {
    let people = comments().people;
    let found = people.len();
    assert!(found <= PEOPLE_MAX, "{found} found, at most {PEOPLE_MAX}:\n{}", people.join("\n"));
}
