//! The pools that one request may be for, from its headers on until its body tells which it is.

use std::rc::Rc;

use picker_core::Model;
use wire::{body::Api, config::MatchGroup};

use super::{JOINED_AT_ONCE_MAX, Pools, group::Group};
use crate::{
    homes::{self, Home},
    pool::Pool,
    run, vm,
};

/// The pools that one request may be for.
#[derive(Clone, Debug)]
pub(crate) struct Candidates {
    /// Groups of pools, by their numbers.
    groups: Vec<usize>,
    /// Place of the one that it is for, once that is known.
    chosen: Option<usize>,
}

/// A look at the pools that a request may be for, from a callback of its stream.
#[derive(Clone, Copy)]
pub(crate) struct Choice<'a> {
    pools: &'a Pools,
    candidates: &'a Candidates,
    /// Context that Envoy acts on.
    acting: u32,
}

/// Models by their names, as far as an endpoint describes them.
type NamedModels = Vec<(String, Option<Model>)>;

impl Candidates {
    pub(super) const fn of_groups(groups: Vec<usize>) -> Self {
        Self { groups, chosen: None }
    }

    /// True if a request is for no pool.
    pub(crate) const fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}

impl Pools {
    /// Looks at the pools that a request may be for. `acting` is the context that Envoy acts on.
    pub(crate) const fn among<'a>(&'a self, candidates: &'a Candidates, acting: u32) -> Choice<'a> {
        Choice { pools: self, candidates, acting }
    }
}

impl<'a> Choice<'a> {
    fn groups(self) -> impl Iterator<Item = &'a MatchGroup> + Clone {
        self.candidates.groups.iter().filter_map(move |number| self.pools.index.group(*number))
    }

    fn needs(self) -> impl Iterator<Item = &'a Group> {
        self.candidates.groups.iter().filter_map(move |number| self.pools.groups.get(*number))
    }

    fn pool(self, at: usize) -> Option<Rc<Pool>> {
        self.pools.pool(at, self.acting)
    }

    fn place_for(self, model: Option<&str>) -> Option<usize> {
        let first = || self.groups().filter_map(|group| group.for_model(model)).min();
        self.candidates.chosen.or_else(first)
    }

    fn place_of_first(self) -> Option<usize> {
        let first = || self.groups().filter_map(|group| group.members().first().copied()).min();
        self.candidates.chosen.or_else(first)
    }

    /// Returns the first pool that takes a request for this model, or for none.
    pub(crate) fn for_model(self, model: Option<&str>) -> Option<Rc<Pool>> {
        self.pool(self.place_for(model)?)
    }

    /// Returns the first pool that takes any model, or else the first.
    pub(crate) fn for_any(self) -> Option<Rc<Pool>> {
        let for_any = || self.groups().filter_map(MatchGroup::for_any).min();
        let at = self.candidates.chosen.or_else(for_any).or_else(|| self.place_of_first());
        self.pool(at?)
    }

    /// Returns the first pool.
    pub(crate) fn first(self) -> Option<Rc<Pool>> {
        self.pool(self.place_of_first()?)
    }

    /// Returns the candidates with this one chosen of them.
    pub(crate) fn with(self, pool: &Pool) -> Candidates {
        let chosen = self.pools.by_name.get(&pool.config.name).copied();
        Candidates { groups: self.candidates.groups.clone(), chosen }
    }

    /// Returns the pool that keeps what this tenant knows by this name, with the endpoint.
    pub(crate) fn home(self, tenant: &str, name: Option<&[u8]>) -> Option<(Rc<Pool>, Home)> {
        homes::find(tenant, name?).into_iter().find_map(|home| {
            let at = *self.pools.by_digest.get(&home.pool)?;
            let is_candidate = match self.candidates.chosen {
                Some(chosen) => chosen == at,
                None => self.candidates.groups.contains(&self.pools.index.group_of(at)?),
            };
            let pool = if is_candidate { self.pool(at) } else { None };
            Some((pool?, home))
        })
    }

    /// Returns the first pool that tells its model server of a request's priority.
    pub(crate) fn propagating(self) -> Option<Rc<Pool>> {
        self.pool(self.needs().filter_map(|group| group.propagating).min()?)
    }

    /// Iterates over the headers that plugins go by.
    pub(crate) fn header_names(self) -> impl Iterator<Item = &'a str> {
        self.needs().flat_map(|group| group.header_names.iter().map(String::as_str))
    }

    /// Iterates over the headers with session tokens.
    pub(crate) fn token_headers(self) -> impl Iterator<Item = &'a str> {
        self.needs().flat_map(|group| group.token_headers.iter().map(String::as_str))
    }

    /// True if tenants may be charged for output tokens.
    pub(crate) fn charge(self) -> bool {
        self.needs().any(|group| group.charges)
    }

    /// True if the body of a request of this API is read.
    pub(crate) fn read(self, api: Api) -> bool {
        let config = |at: usize| self.pools.slots.get(at).map(|slot| &slot.checked.config);
        let reads = |at: usize| config(at).is_some_and(|config| config.reads(api));
        match self.place_of_first() {
            // Whatever its body says, it is for that one.
            Some(first) if config(first).is_some_and(|it| it.matches.models.is_empty()) => {
                reads(first)
            }
            _ => self.needs().flat_map(|group| &group.readers).any(|at| reads(*at)),
        }
    }

    /// True if a request's model decides which pool it is for.
    pub(crate) fn are_by_model(self) -> bool {
        self.groups().any(MatchGroup::is_by_model)
    }

    /// True if any model may be sent as another. Of more than 64 pools none is looked at: that takes a request longer
    /// than to be ready for it.
    pub(crate) fn may_rewrite(self) -> bool {
        if let Some(chosen) = self.candidates.chosen {
            return self.pool(chosen).is_some_and(|pool| rewrites(&pool));
        }
        let mut places = self.groups().flat_map(MatchGroup::members).copied();
        let are_many = places.clone().nth(JOINED_AT_ONCE_MAX).is_some();
        are_many || places.any(|at| self.pool(at).is_some_and(|pool| rewrites(&pool)))
    }

    /// Returns all models that may be asked for, each where a request for it would go. `None` where no scraper says
    /// what is served. Of more than 64 pools those are asked that this worker takes part in; of the others the names
    /// count that their rules have.
    pub(crate) fn models(self) -> Option<NamedModels> {
        let places = || self.groups().flat_map(MatchGroup::members).copied();
        let are_many = places().nth(JOINED_AT_ONCE_MAX).is_some();
        let is_joined =
            |at: usize| self.pools.slots.get(at).is_some_and(|it| it.joined.get().is_some());
        let mut known: Vec<NamedModels> = Vec::new();
        if are_many {
            let named = self.groups().flat_map(MatchGroup::models);
            known.push(named.map(|name| (name.to_owned(), None)).collect());
        }
        for at in places().filter(|at| !are_many || is_joined(*at)) {
            let Some(pool) = self.pool(at) else { continue };
            let is_here = |name: &str| self.place_for(Some(name)) == Some(at);
            let served = served(&pool);
            known.extend(
                served.map(|it| it.into_iter().filter(|(name, _)| is_here(name)).collect()),
            );
        }
        (!known.is_empty()).then(|| known.into_iter().flatten().collect())
    }
}

/// Returns the models that a pool's endpoints serve, by all their names; `None` where none has said so.
fn served(pool: &Pool) -> Option<NamedModels> {
    run::look(pool);
    vm::in_pool(pool.id, |pool| {
        let list = pool.worker.models().list()?;
        let owned = |(name, model): (&str, Option<&Model>)| (name.to_owned(), model.cloned());
        Some(list.into_iter().map(owned).collect())
    })
}

/// True if a pool sends any model as another, by the snapshot that was read last: with every request that is placed, and
/// every second.
pub(crate) fn rewrites(pool: &Pool) -> bool {
    if !vm::in_pool(pool.id, |pool| pool.worker.knows_snapshot()) {
        run::look(pool);
    }
    vm::in_pool(pool.id, |pool| pool.worker.models().rewrites())
}
