//! The part that a pod plays in disaggregated serving, as one label tells it.

/// A stage of disaggregated serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads images, videos and sounds.
    Encode,
    /// Computes prompts.
    Prefill,
    /// Writes answers.
    Decode,
}

impl Role {
    /// The label with the role.
    pub const LABEL: &str = "llm-d.ai/role";

    /// All roles.
    pub const ALL: [Self; 3] = [Self::Decode, Self::Prefill, Self::Encode];
}

/// The roles of one pod; none where its label has a value that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles(&'static [Role]);

impl Default for Roles {
    /// Returns the roles of a pod without the label, which only decodes (EPP: bylabel/roles).
    fn default() -> Self {
        Self(&[Role::Decode])
    }
}

impl Roles {
    /// The label's values. `both` is the older name of `prefill-decode` (EPP: bylabel/roles).
    const LABELED: [(&str, &[Role]); 7] = [
        ("decode", &[Role::Decode]),
        ("prefill", &[Role::Prefill]),
        ("encode", &[Role::Encode]),
        ("prefill-decode", &[Role::Prefill, Role::Decode]),
        ("both", &[Role::Prefill, Role::Decode]),
        ("encode-prefill", &[Role::Encode, Role::Prefill]),
        ("encode-prefill-decode", &[Role::Encode, Role::Prefill, Role::Decode]),
    ];

    /// Reads the value of [`Role::LABEL`], or its absence.
    #[must_use]
    pub fn from_label(value: Option<&str>) -> Self {
        let Some(value) = value else { return Self::default() };
        let known = Self::LABELED.iter().find(|(name, _)| *name == value);
        Self(known.map_or(&[], |(_, roles)| roles))
    }

    /// True if the pod's label names this role.
    #[must_use]
    pub fn contains(self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// True if prompts that are computed apart may go there.
    #[must_use]
    pub fn prefills(self) -> bool {
        self.contains(Role::Prefill)
    }

    /// True if the pod may answer: a pod of an unknown role may do so as well.
    #[must_use]
    pub fn decodes(self) -> bool {
        self.0.is_empty() || self.contains(Role::Decode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_as_in_the_epp() {
        let kept_by = |label| Role::ALL.map(|role| Roles::from_label(label).contains(role));
        for (label, expected) in [
            ("decode", [true, false, false]),
            ("prefill", [false, true, false]),
            ("encode", [false, false, true]),
            ("prefill-decode", [true, true, false]),
            ("both", [true, true, false]),
            ("encode-prefill", [false, true, true]),
            ("encode-prefill-decode", [true, true, true]),
            ("other", [false, false, false]),
        ] {
            assert_eq!(kept_by(Some(label)), expected, "{label}");
        }
        assert_eq!(kept_by(None), [true, false, false]);
    }

    #[test]
    fn a_pod_of_an_unknown_role_may_answer() {
        let stages = |label| {
            let roles = Roles::from_label(label);
            (roles.prefills(), roles.decodes())
        };
        assert_eq!(stages(None), (false, true));
        assert_eq!(stages(Some("other")), (false, true));
        assert_eq!(stages(Some("both")), (true, true));
        assert_eq!(stages(Some("encode-prefill")), (true, false));
        assert_eq!(stages(Some("encode")), (false, false));
    }
}
