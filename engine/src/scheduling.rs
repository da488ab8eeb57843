//! Profiles, and which of them a request runs through.

use crate::{
    Decision, NoPick, Profile, candidate::Candidate, explanation::ProfileExplanation, rng::Rng,
    scene::Scene,
};

/// How endpoints are chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheduling {
    /// By name; never two of one name.
    pub profiles: Vec<Profile>,
    /// Which of them run, and what is made of their choices.
    pub handler: Handler,
}

/// Which profiles run for a request (EPP: ProfileHandler).
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Handler {
    /// The only one (EPP: single-profile-handler).
    #[default]
    Single,
}

impl From<Profile> for Scheduling {
    fn from(profile: Profile) -> Self {
        Self { profiles: vec![profile], handler: Handler::Single }
    }
}

impl Default for Scheduling {
    fn default() -> Self {
        Profile::default().into()
    }
}

impl Scheduling {
    /// Chooses among the candidates.
    pub(crate) fn decide(
        &self,
        scene: &Scene<'_>,
        candidates: Vec<Candidate<'_>>,
        rng: &mut Rng,
    ) -> Result<Decision, NoPick> {
        let Self { profiles, handler } = self;
        match handler {
            Handler::Single => {
                let profile = profiles.first().ok_or(NoPick::NoProfile)?;
                let ranking = profile.run(scene, candidates, rng)?;
                Decision::of(&ranking, scene.ask, scene.now)
            }
        }
    }

    /// Whether a plugin goes by the prompt tokens in flight.
    pub(crate) fn counts_tokens(&self) -> bool {
        self.profiles.iter().any(Profile::counts_tokens)
    }

    /// What each profile makes of each candidate, whether or not it would run.
    pub(crate) fn explain(
        &self,
        scene: &Scene<'_>,
        candidates: &[Candidate<'_>],
        rng: &mut Rng,
    ) -> Vec<ProfileExplanation> {
        let explain = |profile: &Profile| profile.explain(scene, candidates.to_vec(), rng);
        self.profiles.iter().map(explain).collect()
    }
}
