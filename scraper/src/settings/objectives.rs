//! The InferenceObjectives of a pool, as an operator writes them.

use std::collections::BTreeSet;

use picker_core::{OBJECTIVES_MAX, Objective, flow::Priority};
use wire::snapshot::is_object_name;

/// Objectives as every snapshot brings them: by ascending name, each once, at most 1,024.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objectives(Vec<Objective>);

impl Objectives {
    /// Sorts and checks objectives.
    ///
    /// # Errors
    /// If one is given twice, or there are more than [`OBJECTIVES_MAX`].
    pub fn new(mut objectives: Vec<Objective>) -> Result<Self, String> {
        if objectives.len() > OBJECTIVES_MAX {
            let found = objectives.len();
            return Err(format!("found {found} objectives; allowed: {OBJECTIVES_MAX} or fewer"));
        }
        objectives.sort_by(|one, other| one.name.cmp(&other.name));
        let pairs = objectives.iter().zip(objectives.iter().skip(1));
        match pairs.into_iter().find(|(one, next)| one.name == next.name) {
            Some((twice, _)) => {
                Err(format!("invalid objective {:?}: must be given only once", twice.name))
            }
            None => Ok(Self(objectives)),
        }
    }

    /// Returns these objectives and those of `others` with other names, as far as they fit.
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
/// If the name is no name of a Kubernetes object, or the priority no whole number of 32 bits.
pub fn parse_objective(text: &str) -> Result<Objective, String> {
    let (name, priority) = text
        .split_once('=')
        .ok_or_else(|| format!("invalid objective {text:?}: must be NAME=PRIORITY"))?;
    if !is_object_name(name) {
        return Err(format!(
            "invalid objective name {name:?}: must be a Kubernetes object's name: 1 to 253 of a-z 0-9 - ."
        ));
    }
    match priority.parse() {
        Ok(priority) => Ok(Objective { name: name.to_owned(), priority: Priority(priority) }),
        Err(_) => Err(format!("invalid priority {priority:?}: must be a whole number of 32 bits")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objective_is_a_name_and_a_priority() {
        let read = |text: &str| match parse_objective(text) {
            Ok(Objective { name, priority }) => format!("{name} {priority}"),
            Err(why) => why,
        };
        let texts = ["paid=10", "team-a.batch=-5", "paid", "=1", "Paid=1", "a=b=1", "a=1.5", "a="];
        insta::assert_snapshot!(texts.map(read).join("\n"), @r#"
        paid 10
        team-a.batch -5
        invalid objective "paid": must be NAME=PRIORITY
        invalid objective name "": must be a Kubernetes object's name: 1 to 253 of a-z 0-9 - .
        invalid objective name "Paid": must be a Kubernetes object's name: 1 to 253 of a-z 0-9 - .
        invalid priority "b=1": must be a whole number of 32 bits
        invalid priority "1.5": must be a whole number of 32 bits
        invalid priority "": must be a whole number of 32 bits
        "#);
    }

    #[test]
    fn each_is_there_once_and_in_order() {
        let objectives = |texts: &[&str]| {
            Objectives::new(texts.iter().map(|it| parse_objective(it).unwrap()).collect())
        };
        assert_eq!(objectives(&["b=1", "a=2"]), objectives(&["a=2", "b=1"]));
        assert_eq!(objectives(&["b=1", "a=2"]).unwrap().to_vec().len(), 2);
        assert_eq!(
            objectives(&["a=1", "b=1", "a=2"]),
            Err("invalid objective \"a\": must be given only once".to_owned())
        );
        let many = |len| (0..len).map(|n| parse_objective(&format!("o{n}=1")).unwrap()).collect();
        assert!(Objectives::new(many(OBJECTIVES_MAX)).is_ok());
        assert!(Objectives::new(many(OBJECTIVES_MAX + 1)).is_err());
    }
}
