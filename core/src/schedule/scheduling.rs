//! Profiles, and which of them a request runs through.

mod disagg;
mod handler;

pub use disagg::{Decider, Disagg, StageOrder, StagesApart};
pub use handler::Handler;

use std::net::SocketAddr;

use super::{
    Needs, Order, PickContext, Picker, Profile, ProfileExplanation, ProfileRunResult,
    SessionAffinity,
};
use crate::{
    model::{InferenceRequest, PickError, Rng, SchedulingResult, SessionId},
    pool::Candidate,
};

/// The profiles of a pool, and the handler that chooses between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheduling {
    /// Never two of one name.
    pub profiles: Vec<Profile>,
    /// The choice of those that run, and what is made of their results.
    pub handler: Handler,
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
        context: &PickContext<'_>,
        candidates: Vec<Candidate<'_>>,
        rng: &mut Rng,
    ) -> Result<SchedulingResult, PickError> {
        let decide = |ranking: &ProfileRunResult<'_>| ranking.result(context.request, context.now);
        match &self.handler {
            Handler::Single => decide(&self.first()?.run(context, candidates, rng)?),
            Handler::Header { header, default } => {
                let asked =
                    context.request.header(header).map(str::trim).filter(|it| !it.is_empty());
                let profile = match self.profiles.as_slice() {
                    [only] => only,
                    _ => self.profile(asked.unwrap_or(default))?,
                };
                decide(&profile.run(context, candidates, rng)?)
            }
            Handler::DataParallel { primary_port } => {
                let mut decision = decide(&self.first()?.run(context, candidates, rng)?)?;
                handler::to_primary(&mut decision, *primary_port);
                Ok(decision)
            }
            Handler::Disagg(disagg) => disagg.decide(self, context, &candidates, rng),
        }
    }

    /// Chooses among the candidates by chance, for a request without a prompt.
    pub(crate) fn direct(
        &self,
        candidates: &[Candidate<'_>],
        rng: &mut Rng,
    ) -> Result<SchedulingResult, PickError> {
        // A pod that only computes prompts knows of no answers, such as one to be cancelled.
        let decoding: Vec<_> = candidates.iter().filter(|it| it.member.roles.decodes()).collect();
        let pods = if decoding.is_empty() { candidates.iter().collect() } else { decoding };
        let picker = Picker { order: Order::Random, max_endpoints: Picker::ENDPOINTS_MAX };
        let places = picker.rank(&vec![0.0; pods.len()], rng);
        let chosen: Vec<_> = places.iter().filter_map(|place| pods.get(*place)).collect();
        let first = chosen.first().ok_or(PickError::NoEndpoints)?;
        let mut result = SchedulingResult {
            ranked: chosen.iter().map(|candidate| candidate.member.address).collect(),
            through: None,
            headers: Vec::new(),
            prefill: None,
            scores: Vec::new(),
            total: 0.0,
            age: None,
            blocks: 0,
            sight: first.observation(&InferenceRequest::default()),
            reasons: None,
        };
        if let Handler::DataParallel { primary_port } = self.handler {
            handler::to_primary(&mut result, primary_port);
        }
        Ok(result)
    }

    fn first(&self) -> Result<&Profile, PickError> {
        self.profiles.first().ok_or(PickError::NoProfile)
    }

    /// Returns the profile of that name.
    fn profile(&self, name: &str) -> Result<&Profile, PickError> {
        self.profiles.iter().find(|profile| profile.name == name).ok_or(PickError::NoProfile)
    }

    /// Returns the needs of each plugin.
    pub(crate) fn needs(&self) -> impl Iterator<Item = Needs<'_>> {
        let profiles = self.profiles.iter().flat_map(Profile::needs);
        profiles.chain([self.handler.needs()])
    }

    /// Returns the header and the profile of each plugin that keeps sessions by a token.
    pub fn token_sessions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sessions().filter_map(|session| Some((session.token_header()?, &*session.profile)))
    }

    /// Returns the same with the endpoint that a served request's session is kept at from now on.
    pub fn sessions_kept(
        &self,
        served_by: SocketAddr,
        prefill: Option<SocketAddr>,
    ) -> impl Iterator<Item = (&str, &str, SocketAddr)> {
        self.sessions().filter_map(move |session| {
            let header = session.token_header()?;
            Some((header, &*session.profile, self.kept_at(session, served_by, prefill)?))
        })
    }

    /// Returns the sessions of a request by the client's own word, each with the choice that it is
    /// kept at.
    pub(crate) fn session_ids(
        &self,
        request: &InferenceRequest,
        chosen: SocketAddr,
        prefill: Option<SocketAddr>,
    ) -> impl Iterator<Item = (SessionId, &SessionAffinity, SocketAddr)> {
        self.sessions().filter_map(move |session| {
            let endpoint = self.kept_at(session, chosen, prefill)?;
            Some((session.session(request)?, session, endpoint))
        })
    }

    /// True if a request has a session by the client's own word.
    pub(crate) fn has_session(&self, request: &InferenceRequest) -> bool {
        self.sessions().any(|session| session.session(request).is_some())
    }

    fn sessions(&self) -> impl Iterator<Item = &SessionAffinity> {
        self.needs().filter_map(|needs| needs.session)
    }

    /// Returns the endpoint that the session is kept at: of the one that answers and the one that
    /// computes the prompt, the choice of the profile that the plugin names.
    fn kept_at(
        &self,
        session: &SessionAffinity,
        chosen: SocketAddr,
        prefill: Option<SocketAddr>,
    ) -> Option<SocketAddr> {
        if let Handler::Disagg(disagg) = &self.handler
            && disagg.prefill == session.profile
        {
            return prefill;
        }
        Some(chosen)
    }

    /// True if a prompt may be computed by another endpoint than the one that answers.
    pub(crate) fn may_compute_apart(&self) -> bool {
        matches!(&self.handler, Handler::Disagg(disagg) if self.profile(&disagg.prefill).is_ok())
    }

    /// True if decisions may bring headers for the request, beside the destination.
    #[must_use]
    pub const fn sets_headers(&self) -> bool {
        matches!(self.handler, Handler::Disagg(_) | Handler::DataParallel { .. })
    }

    /// Explains what each profile makes of each candidate, even if it would not run.
    pub(crate) fn explain(
        &self,
        context: &PickContext<'_>,
        candidates: &[Candidate<'_>],
        rng: &mut Rng,
    ) -> Vec<ProfileExplanation> {
        let explain = |profile: &Profile| profile.explain(context, candidates.to_vec(), rng);
        self.profiles.iter().map(explain).collect()
    }
}
