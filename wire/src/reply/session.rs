//! The gateway's memory of which counts each scraper has.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::tally::Head;

/// Scrapers that are remembered: two of one installation while one takes over from the other, and
/// as many to be safe. Another one is sent everything anew.
const SESSIONS_MAX: usize = 4;

/// Name of a reply that a scraper has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Have {
    /// Number drawn for the session of scraper and gateway.
    pub session: u64,
    /// Number of the reply within the session.
    pub number: u32,
}

/// The memory of one worker of the gateway of which counts each scraper has.
#[derive(Debug, Default)]
pub struct Sessions {
    /// Sessions, the one used last at the end.
    sessions: Vec<Session>,
}

#[derive(Debug)]
struct Session {
    newest: Have,
    /// Version of each chunk that the scraper has, by epoch and number.
    acknowledged: BTreeMap<(u64, u32), u32>,
    /// The same for what the newest reply brought, until the scraper says that it has it.
    told: Vec<Wanted>,
    /// Chunk that the next reply begins with.
    next: (u64, u32),
}

/// A chunk that has something new for the scraper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Worker that wrote the chunk.
    pub epoch: u64,
    /// Number of the chunk.
    pub chunk: u32,
    /// Version up to which the scraper has its label sets.
    pub since: u32,
    /// Version of the chunk.
    pub version: u32,
}

impl Have {
    /// Reads the value of [`super::HAVE_HEADER`].
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (session, number) = str::from_utf8(text).ok()?.split_once('-')?;
        let session = u64::from_str_radix(session, 16).ok()?;
        Some(Self { session, number: number.parse().ok()? })
    }
}

impl fmt::Display for Have {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.session, self.number)
    }
}

impl Sessions {
    /// Goes on with the session of a scraper that has this reply. A scraper that has none, or the
    /// reply of a session that is not known here, begins a session of the number `drawn`, and is
    /// told everything. Returns what is new to the scraper by these heads.
    pub fn wanted(
        &mut self,
        have: Option<Have>,
        drawn: u64,
        heads: &BTreeMap<u64, Head>,
    ) -> Vec<Wanted> {
        let known = have.and_then(|have| {
            let at = self.sessions.iter().position(|it| it.newest.session == have.session)?;
            self.sessions.get_mut(at)?.takes(have).then(|| self.sessions.remove(at))
        });
        let mut session = known.unwrap_or_else(|| Session::new(drawn));
        // Workers that are gone are told of no more.
        session.acknowledged.retain(|(epoch, _), _| heads.contains_key(epoch));
        let wanted = session.wanted(heads);
        if self.sessions.len() >= SESSIONS_MAX {
            self.sessions.remove(0);
        }
        self.sessions.push(session);
        wanted
    }

    /// Records the chunks that the reply to that scraper brings. Returns the reply's name.
    pub fn told(&mut self, told: Vec<Wanted>) -> Have {
        let Some(session) = self.sessions.last_mut() else { return Have::default() };
        session.newest.number = session.newest.number.wrapping_add(1);
        if let Some(last) = told.last() {
            session.next = (last.epoch, last.chunk + 1);
        }
        session.told = told;
        session.newest
    }
}

impl Session {
    fn new(session: u64) -> Self {
        let newest = Have { session, number: 0 };
        Self { newest, acknowledged: BTreeMap::new(), told: Vec::new(), next: (0, 0) }
    }

    /// Takes in which reply the scraper has: the newest, or the one before, where the newest was
    /// lost. False for any other.
    fn takes(&mut self, have: Have) -> bool {
        let told = std::mem::take(&mut self.told);
        if have == self.newest {
            for Wanted { epoch, chunk, version, .. } in told {
                self.acknowledged.insert((epoch, chunk), version);
            }
            return true;
        }
        have.number == self.newest.number.wrapping_sub(1)
    }

    /// Returns the chunks with news, from where the last reply ended: with more news than a reply
    /// holds, every chunk has its turn.
    fn wanted(&self, heads: &BTreeMap<u64, Head>) -> Vec<Wanted> {
        let chunks = heads.iter().flat_map(|(epoch, head)| {
            let versions = (0..).zip(&head.versions);
            versions.map(|(chunk, version)| (*epoch, chunk, *version))
        });
        let news = chunks.filter_map(|(epoch, chunk, version)| {
            let since = self.acknowledged.get(&(epoch, chunk)).copied().unwrap_or_default();
            (version > since).then_some(Wanted { epoch, chunk, since, version })
        });
        let (mut first, behind): (Vec<_>, Vec<_>) =
            news.partition(|it| (it.epoch, it.chunk) >= self.next);
        first.extend(behind);
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(versions: &[u32]) -> BTreeMap<u64, Head> {
        [(5, Head { versions: versions.to_vec(), ..Head::default() })].into()
    }

    fn numbers(wanted: &[Wanted]) -> Vec<(u32, u32)> {
        wanted.iter().map(|it| (it.chunk, it.since)).collect()
    }

    #[test]
    fn a_scraper_is_told_all_then_what_is_new() {
        let mut sessions = Sessions::default();
        let all = sessions.wanted(None, 1, &heads(&[1, 1, 0]));
        assert_eq!(numbers(&all), [(0, 0), (1, 0)]);
        let have = sessions.told(all);
        assert_eq!(Have::parse(have.to_string().as_bytes()), Some(have));
        let news = sessions.wanted(Some(have), 2, &heads(&[1, 4, 0]));
        assert_eq!(numbers(&news), [(1, 1)]);
        let lost = sessions.told(news);
        let again = sessions.wanted(Some(have), 3, &heads(&[1, 4, 0]));
        assert_eq!(numbers(&again), [(1, 1)], "the reply was lost, which takes nothing with it");
        let then = sessions.told(again);
        assert_ne!(lost, have);
        let nothing = sessions.wanted(Some(then), 4, &heads(&[1, 4, 0]));
        assert_eq!(numbers(&nothing), [], "{sessions:?}");
    }

    #[test]
    fn a_scraper_that_began_anew_or_asks_another_worker_is_told_all() {
        let mut sessions = Sessions::default();
        let all = sessions.wanted(None, 1, &heads(&[1]));
        let have = sessions.told(all);
        assert_eq!(numbers(&sessions.wanted(None, 2, &heads(&[1]))), [(0, 0)]);
        assert_eq!(sessions.told(Vec::new()), Have { session: 2, number: 1 });
        assert_eq!(numbers(&sessions.wanted(Some(have), 3, &heads(&[1]))), [], "both are known");
        let strange = Have { session: 9, number: 1 };
        assert_eq!(numbers(&sessions.wanted(Some(strange), 4, &heads(&[1]))), [(0, 0)]);
        for drawn in 5..20 {
            sessions.wanted(None, drawn, &heads(&[1]));
        }
        assert!(sessions.sessions.len() <= SESSIONS_MAX);
    }

    #[test]
    fn workers_that_are_gone_are_forgotten() {
        let mut sessions = Sessions::default();
        let mut have = None;
        for epoch in 0..100 {
            let heads = [(epoch, Head { versions: vec![1], ..Head::default() })].into();
            let wanted = sessions.wanted(have, 1, &heads);
            have = Some(sessions.told(wanted));
        }
        assert!(sessions.sessions[0].acknowledged.len() <= 2, "{sessions:?}");
    }

    #[test]
    fn every_chunk_has_its_turn() {
        let mut sessions = Sessions::default();
        let mut have = None;
        let mut told = Vec::new();
        for version in 1..=4 {
            let wanted = sessions.wanted(have, 1, &heads(&[version; 3]));
            told.push(wanted[0].chunk);
            have = Some(sessions.told(wanted[..1].to_vec()));
        }
        assert_eq!(told, [0, 1, 2, 0]);
    }
}
