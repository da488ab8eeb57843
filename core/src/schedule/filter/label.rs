//! By the pods' labels.

use crate::pool::EndpointState;

/// Kubernetes' label selector: all of its requirements hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(pub Vec<Requirement>);

/// A requirement of a selector on one label. The values are those of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// The label is there with one of these values.
    In(String, Vec<String>),
    /// The label is not there, or has none of these values.
    NotIn(String, Vec<String>),
    /// The label is there.
    Exists(String),
    /// The label is not there.
    DoesNotExist(String),
}

impl Selector {
    pub(crate) fn matches(&self, member: &EndpointState) -> bool {
        self.0.iter().all(|requirement| requirement.holds(member))
    }
}

impl Requirement {
    fn holds(&self, member: &EndpointState) -> bool {
        let has = |key: &str, values: &[String]| {
            member.label(key).is_some_and(|found| values.iter().any(|value| value == found))
        };
        match self {
            Self::In(key, values) => has(key, values),
            Self::NotIn(key, values) => !has(key, values),
            Self::Exists(key) => member.label(key).is_some(),
            Self::DoesNotExist(key) => member.label(key).is_none(),
        }
    }
}

/// Some values of one label (EPP: by-label).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelValues {
    /// Key of the label.
    pub label: String,
    /// Values that are kept.
    pub values: Vec<String>,
    /// True if endpoints without the label are kept.
    pub without: bool,
}

impl LabelValues {
    pub(crate) fn keeps(&self, member: &EndpointState) -> bool {
        match member.label(&self.label) {
            Some(found) => self.values.iter().any(|value| value == found),
            None => self.without,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::member;

    fn owned(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn a_selector_asks_for_all() {
        let keeps = |requirements: &[Requirement], labels: &[(&str, &str)]| {
            Selector(requirements.to_vec()).matches(&member(labels))
        };
        let tier = || "tier".to_owned();
        let values = || owned(&["a", "b"]);
        let yes = &[("tier", "a")];
        let no = &[("tier", "c")];
        let none = &[];
        for (requirement, expected) in [
            (Requirement::In(tier(), values()), [true, false, false]),
            (Requirement::NotIn(tier(), values()), [false, true, true]),
            (Requirement::Exists(tier()), [true, true, false]),
            (Requirement::DoesNotExist(tier()), [false, false, true]),
        ] {
            let one = [requirement];
            assert_eq!([keeps(&one, yes), keeps(&one, no), keeps(&one, none)], expected);
        }
        assert!(keeps(&[], none));
        let both = [Requirement::Exists(tier()), Requirement::DoesNotExist(tier())];
        assert!(!keeps(&both, yes) && !keeps(&both, none));
    }

    #[test]
    fn one_label_by_its_values() {
        let values =
            |without| LabelValues { label: "tier".to_owned(), values: owned(&["a", "b"]), without };
        assert!(values(false).keeps(&member(&[("tier", "b")])));
        assert!(!values(true).keeps(&member(&[("tier", "c")])));
        assert!(values(true).keeps(&member(&[])) && !values(false).keeps(&member(&[])));
    }
}
