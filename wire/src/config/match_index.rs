//! An index of the pools' rules: the pools that a request may be for are found at the cost of the rules that it fits, and not
//! of all pools.

use std::collections::BTreeMap;

use super::{Destined, Match, matching};

/// Index of the rules of pools, which are numbered by their places in the configuration.
#[derive(Clone, Debug, Default)]
pub struct MatchIndex {
    groups: Vec<MatchGroup>,
    /// Groups with a cluster in their rule, by that.
    by_cluster: BTreeMap<String, Vec<usize>>,
    /// Groups with one host and no cluster in their rule, by the host.
    by_host: BTreeMap<String, Vec<usize>>,
    /// Groups with a path and neither cluster nor host in their rule, by the path without a slash at its end.
    by_path: BTreeMap<String, Vec<usize>>,
    /// Parts of the longest of these paths: as many of a request's are looked up.
    path_parts_max: usize,
    /// All other groups.
    others: Vec<usize>,
    /// Group of each pool.
    group_of: Vec<usize>,
}

/// Pools that have one rule for a request's headers, and each its own models.
#[derive(Clone, Debug)]
pub struct MatchGroup {
    /// The rule, without models.
    rule: Match,
    members: Vec<usize>,
    /// First pool that names a model, by the model.
    by_model: BTreeMap<String, usize>,
    /// First pool that takes any model.
    for_any: Option<usize>,
}

impl MatchIndex {
    /// Makes the index of these rules.
    pub fn new<'a>(rules: impl IntoIterator<Item = &'a Match>) -> Self {
        let mut index = Self::default();
        let mut known: BTreeMap<Match, usize> = BTreeMap::new();
        for (pool, rule) in rules.into_iter().enumerate() {
            let head = Match { models: Vec::new(), ..rule.clone() };
            let number = *known.entry(head).or_insert_with_key(|head| index.add(head.clone()));
            index.group_of.push(number);
            if let Some(group) = index.groups.get_mut(number) {
                group.take(pool, &rule.models);
            }
        }
        index
    }

    /// Adds a group. Returns its number.
    fn add(&mut self, rule: Match) -> usize {
        let number = self.groups.len();
        let is_one = |host: &&String| !host.starts_with("*.");
        if let Some(cluster) = &rule.cluster {
            self.by_cluster.entry(cluster.clone()).or_default().push(number);
        } else if let Some(host) = rule.host.as_ref().filter(is_one) {
            self.by_host.entry(host.clone()).or_default().push(number);
        } else if let (None, Some(path)) = (&rule.host, &rule.path_prefix)
            && !path.contains('?')
        {
            let path = path.strip_suffix('/').unwrap_or(path);
            self.path_parts_max = self.path_parts_max.max(path.matches('/').count());
            self.by_path.entry(path.to_owned()).or_default().push(number);
        } else {
            self.others.push(number);
        }
        let (members, by_model) = (Vec::new(), BTreeMap::new());
        self.groups.push(MatchGroup { rule, members, by_model, for_any: None });
        number
    }

    /// Returns the groups with a rule that a request with such headers fits, by ascending number.
    #[must_use]
    pub fn fitting(&self, request: Destined<'_>) -> Vec<usize> {
        let mut found = self.others.clone();
        if let Some(groups) = text(request.cluster).and_then(|it| self.by_cluster.get(it)) {
            found.extend(groups);
        }
        if !self.by_host.is_empty() {
            let host = matching::without_port(request.host).to_ascii_lowercase();
            found.extend(text(&host).and_then(|it| self.by_host.get(it)).into_iter().flatten());
        }
        if !self.by_path.is_empty() {
            let prefixes = prefixes(request.path).take(self.path_parts_max + 1);
            let groups = prefixes.filter_map(|it| self.by_path.get(text(it)?));
            found.extend(groups.flatten());
        }
        found.retain(|number| self.group(*number).is_some_and(|group| group.rule.fits(request)));
        found.sort_unstable();
        found
    }

    /// Returns a group by its number.
    #[must_use]
    pub fn group(&self, number: usize) -> Option<&MatchGroup> {
        self.groups.get(number)
    }

    /// Returns all groups, by ascending number.
    #[must_use]
    pub fn groups(&self) -> &[MatchGroup] {
        &self.groups
    }

    /// Returns the number of a pool's group.
    #[must_use]
    pub fn group_of(&self, pool: usize) -> Option<usize> {
        self.group_of.get(pool).copied()
    }
}

impl MatchGroup {
    fn take(&mut self, pool: usize, models: &[String]) {
        self.members.push(pool);
        if models.is_empty() {
            self.for_any.get_or_insert(pool);
        }
        for model in models {
            self.by_model.entry(model.clone()).or_insert(pool);
        }
    }

    /// Returns the pools, in their order; at least one.
    #[must_use]
    pub fn members(&self) -> &[usize] {
        &self.members
    }

    /// Returns the first pool for this model, or for a request that names none.
    #[must_use]
    pub fn for_model(&self, model: Option<&str>) -> Option<usize> {
        let named = model.and_then(|model| self.by_model.get(model)).copied();
        [named, self.for_any].into_iter().flatten().min()
    }

    /// Returns the first pool that takes any model.
    #[must_use]
    pub const fn for_any(&self) -> Option<usize> {
        self.for_any
    }

    /// Returns the models that pools name.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.by_model.keys().map(String::as_str)
    }

    /// True if a model decides between its pools.
    #[must_use]
    pub fn is_by_model(&self) -> bool {
        !self.by_model.is_empty()
    }
}

/// Returns the path up to each end of a part: `/a` and `/a/b` of `/a/b?c`, behind the empty one.
fn prefixes(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = path.iter().position(|byte| *byte == b'?').unwrap_or(path.len());
    let path = path.get(..end).unwrap_or_default();
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    slashes.chain([path.len()]).filter_map(|at| path.get(..at))
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(cluster: &str, host: &str, path: &str, models: &[&str]) -> Match {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Match {
            cluster: some(cluster),
            host: some(host),
            path_prefix: some(path),
            models: models.iter().map(|it| (*it).to_owned()).collect(),
        }
    }

    /// The pool that a look at all of them, one by one, finds.
    fn found_by_hand(rules: &[Match], request: Destined<'_>, model: Option<&str>) -> Option<usize> {
        rules.iter().position(|rule| rule.fits(request) && rule.fits_model(model))
    }

    fn found(index: &MatchIndex, request: Destined<'_>, model: Option<&str>) -> Option<usize> {
        let groups = index.fitting(request);
        groups.iter().filter_map(|number| index.group(*number)?.for_model(model)).min()
    }

    /// Law: the index finds what a look at all pools in their order finds, whatever the rules and the request are.
    #[test]
    fn the_first_pool_that_fits_is_found_as_by_hand() {
        arbtest::arbtest(|u| {
            let mut rules = Vec::new();
            for _ in 0..u.int_in_range(1..=12)? {
                let cluster = *u.choose(&["", "", "c", "d"])?;
                let host = *u.choose(&["", "", "h.io", "*.io", "x.io"])?;
                let path = *u.choose(&["", "", "/", "/a", "/a/", "/a/b"])?;
                let models: &[&str] = u.choose(&[&[][..], &["m"], &["m", "n"], &["o"]])?;
                rules.push(rule(cluster, host, path, models));
            }
            let index = MatchIndex::new(&rules);
            for _ in 0..8 {
                let request = Destined {
                    host: u.choose(&["h.io", "H.IO:80", "x.io", ""])?.as_bytes(),
                    path: u
                        .choose(&["/", "/a", "/a?b", "/ab", "/a/b/c", "/a/bc", "", "x"])?
                        .as_bytes(),
                    cluster: u.choose(&["", "c", "d", "e"])?.as_bytes(),
                };
                let model = *u.choose(&[None, Some("m"), Some("n"), Some("x")])?;
                let expected = found_by_hand(&rules, request, model);
                assert_eq!(
                    found(&index, request, model),
                    expected,
                    "{rules:?} {request:?} {model:?}"
                );
            }
            Ok(())
        });
    }

    #[test]
    fn a_long_path_is_looked_up_no_deeper_than_the_rules_are() {
        let index = MatchIndex::new(&[rule("", "", "/a/b", &[]), rule("", "", "/c", &[])]);
        assert_eq!(index.path_parts_max, 2);
        let path = "/a/b".to_owned() + &"/".repeat(60_000);
        let request = Destined { host: b"", path: path.as_bytes(), cluster: b"" };
        assert_eq!(index.fitting(request), [0]);
    }
}
