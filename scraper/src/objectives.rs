//! The InferenceObjectives of the pool, as an operator writes them.

use std::collections::BTreeSet;

use picker_core::{OBJECTIVES_MAX, Objective, flow::Priority};
use wire::snapshot::is_object_name;

/// Objectives as every snapshot brings them: by ascending name, each once, at most 1,024.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objectives(Vec<Objective>);

impl Objectives {
    /// # Errors
    /// If one is given twice, or there are more than [`OBJECTIVES_MAX`].
    pub fn new(mut objectives: Vec<Objective>) -> Result<Self, String> {
        if objectives.len() > OBJECTIVES_MAX {
            let found = objectives.len();
            return Err(format!("{found} objectives, and {OBJECTIVES_MAX} are allowed"));
        }
        objectives.sort_by(|one, other| one.name.cmp(&other.name));
        let pairs = objectives.iter().zip(objectives.iter().skip(1));
        match pairs.into_iter().find(|(one, next)| one.name == next.name) {
            Some((twice, _)) => Err(format!("objective {:?} is given twice", twice.name)),
            None => Ok(Self(objectives)),
        }
    }

    /// These, and those of `others` whose names are not among them, as far as they fit.
    pub(crate) fn with(&self, others: &Self) -> Self {
        let names: BTreeSet<_> = self.0.iter().map(|it| &it.name).collect();
        let others = others.0.iter().filter(|it| !names.contains(&it.name));
        let mut all: Vec<_> = self.0.iter().chain(others).take(OBJECTIVES_MAX).cloned().collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Self(all)
    }

    pub(crate) fn to_vec(&self) -> Vec<Objective> {
        self.0.clone()
    }
}

/// Reads `NAME=PRIORITY`.
///
/// # Errors
/// If the name is none of a Kubernetes object, or the priority no whole number of 32 bits.
pub fn parse(text: &str) -> Result<Objective, String> {
    let (name, priority) =
        text.split_once('=').ok_or_else(|| format!("{text:?} does not read NAME=PRIORITY"))?;
    if !is_object_name(name) {
        return Err(format!(
            "{name:?} is no name of a Kubernetes object: 1 to 253 of a-z 0-9 - . are allowed"
        ));
    }
    match priority.parse() {
        Ok(priority) => Ok(Objective { name: name.to_owned(), priority: Priority(priority) }),
        Err(_) => Err(format!("{priority:?} is no priority: a whole number of 32 bits is allowed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objective_is_a_name_and_a_priority() {
        let read = |text: &str| match parse(text) {
            Ok(Objective { name, priority }) => format!("{name} {priority}"),
            Err(why) => why,
        };
        let texts = ["paid=10", "team-a.batch=-5", "paid", "=1", "Paid=1", "a=b=1", "a=1.5", "a="];
        insta::assert_snapshot!(texts.map(read).join("\n"), @r#"
        paid 10
        team-a.batch -5
        "paid" does not read NAME=PRIORITY
        "" is no name of a Kubernetes object: 1 to 253 of a-z 0-9 - . are allowed
        "Paid" is no name of a Kubernetes object: 1 to 253 of a-z 0-9 - . are allowed
        "b=1" is no priority: a whole number of 32 bits is allowed
        "1.5" is no priority: a whole number of 32 bits is allowed
        "" is no priority: a whole number of 32 bits is allowed
        "#);
    }

    #[test]
    fn each_is_there_once_and_in_order() {
        let of =
            |texts: &[&str]| Objectives::new(texts.iter().map(|it| parse(it).unwrap()).collect());
        assert_eq!(of(&["b=1", "a=2"]), of(&["a=2", "b=1"]));
        assert_eq!(of(&["b=1", "a=2"]).unwrap().to_vec().len(), 2);
        assert_eq!(of(&["a=1", "b=1", "a=2"]), Err("objective \"a\" is given twice".to_owned()));
        let many = |len| (0..len).map(|n| parse(&format!("o{n}=1")).unwrap()).collect();
        assert!(Objectives::new(many(OBJECTIVES_MAX)).is_ok());
        assert!(Objectives::new(many(OBJECTIVES_MAX + 1)).is_err());
    }
}
