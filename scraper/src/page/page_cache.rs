//! Pages that many clients share. Clients are not authenticated, and pages of a large fleet take megabytes and tens
//! of milliseconds of the thread that scrapes and pushes: none is made anew before ten times as long has passed as
//! making it took, and few are kept for clients that do not read.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use axum::{
    body::Bytes,
    http::{StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use tokio::time;

/// Time for which a page is kept, as a multiple of the time that it took to make: all clients together have an
/// eleventh of the thread for it.
const KEPT_FOR: u32 = 10;

/// Longest time for which a page is kept: Prometheus asks every few seconds, and browsers every second.
const KEPT_MAX: Duration = Duration::from_secs(1);

/// Pages of one kind in memory, those among them that a client has not read to its end yet: eight of 10 MB are a
/// third of the memory that the chart gives.
const PAGES_MAX: usize = 8;

/// The pages of one kind, of which a key names one.
#[derive(Clone, Debug)]
pub(super) struct PageCache<K>(Arc<Mutex<MadePages<K>>>);

#[derive(Debug)]
struct MadePages<K> {
    /// The page that was made last.
    last: Option<(K, Arc<Vec<u8>>)>,
    /// Time from which on one is made anew.
    next_at: Option<Instant>,
    /// Pages that were made and may still be in memory.
    alive: Vec<Weak<Vec<u8>>>,
}

/// Reason why there is no page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoPage {
    /// Others are asked for all the time.
    Busy,
    /// Too many of them are kept for clients that do not read them.
    Unread,
    /// The page cannot be written.
    Failed(String),
}

/// Bytes of a page that all of its clients share.
struct SharedPage(Arc<Vec<u8>>);

impl AsRef<[u8]> for SharedPage {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<K> Default for PageCache<K> {
    fn default() -> Self {
        let made = MadePages { last: None, next_at: None, alive: Vec::new() };
        Self(Arc::new(Mutex::new(made)))
    }
}

impl<K: PartialEq> PageCache<K> {
    /// Returns the page of this key: the one that was made last, or one that is made now. Where another was made
    /// just now, it waits for its turn once.
    ///
    /// # Errors
    /// If others are asked for all the time, or too many are not read, or the page cannot be written.
    pub(super) async fn get(
        &self,
        key: K,
        make: impl FnOnce() -> Result<Vec<u8>, String>,
    ) -> Result<Bytes, NoPage> {
        if let Some(at) = self.busy_until(&key) {
            time::sleep_until(at.into()).await;
        }
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let page = made.get(key, make)?;
        Ok(Bytes::from_owner(SharedPage(page)))
    }

    fn busy_until(&self, key: &K) -> Option<Instant> {
        let made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_other = made.last.as_ref().is_some_and(|(last, _)| last != key);
        made.next_at.filter(|at| is_other && *at > Instant::now())
    }
}

impl<K: PartialEq> MadePages<K> {
    fn get(
        &mut self,
        key: K,
        make: impl FnOnce() -> Result<Vec<u8>, String>,
    ) -> Result<Arc<Vec<u8>>, NoPage> {
        let began = Instant::now();
        if self.next_at.is_some_and(|at| began < at) {
            let own = self.last.as_ref().filter(|(last, _)| *last == key);
            return own.map(|(_, page)| Arc::clone(page)).ok_or(NoPage::Busy);
        }
        // The last one is as old as it may be, and goes unless a client reads it.
        self.last = None;
        self.alive.retain(|page| page.strong_count() > 0);
        if self.alive.len() >= PAGES_MAX {
            return Err(NoPage::Unread);
        }
        let page = Arc::new(make().map_err(NoPage::Failed)?);
        self.next_at = Some(Instant::now() + (began.elapsed() * KEPT_FOR).min(KEPT_MAX));
        self.alive.push(Arc::downgrade(&page));
        self.last = Some((key, Arc::clone(&page)));
        Ok(page)
    }
}

impl IntoResponse for NoPage {
    fn into_response(self) -> Response {
        let said = match self {
            Self::Failed(why) => return (StatusCode::INTERNAL_SERVER_ERROR, why).into_response(),
            Self::Busy => "too many clients ask\n",
            Self::Unread => "too many clients do not read their answers\n",
        };
        (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], said).into_response()
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, thread};

    use super::*;

    const COST: Duration = Duration::from_millis(20);

    /// Makes a page that takes time, and counts it.
    fn make(made: &Cell<u32>) -> Result<Vec<u8>, String> {
        made.set(made.get() + 1);
        thread::sleep(COST);
        Ok(vec![b'x'; 10])
    }

    #[tokio::test]
    async fn a_page_is_made_once_for_all_who_ask_within_ten_times_its_cost() {
        let (pages, made) = (PageCache::default(), Cell::new(0));
        let began = Instant::now();
        let mut asked = 0;
        while made.get() < 3 {
            assert_eq!(pages.get(0, || make(&made)).await.unwrap().len(), 10);
            asked += 1;
            time::sleep(Duration::from_millis(1)).await;
        }
        assert!(began.elapsed() >= COST * KEPT_FOR * 2, "{:?}", began.elapsed());
        assert!(asked > 10, "{asked}");
    }

    #[tokio::test]
    async fn others_wait_for_their_turn() {
        let (pages, made) = (PageCache::default(), Cell::new(0));
        let began = Instant::now();
        for key in 0..3 {
            pages.get(key, || make(&made)).await.unwrap();
        }
        assert!(made.get() == 3 && began.elapsed() >= COST * KEPT_FOR * 2);
        let all = [3, 4, 5, 6].map(|key| pages.get(key, || make(&made)));
        let all = futures_util::future::join_all(all).await;
        let busy = all.iter().filter(|it| **it == Err(NoPage::Busy)).count();
        assert_eq!((made.get(), busy), (4, 3), "one at a time");
    }

    #[tokio::test]
    async fn few_pages_are_kept_for_clients_that_do_not_read() {
        let pages = PageCache::default();
        let mut unread = Vec::new();
        let make = || Ok(vec![b'x'; 10]);
        let all = async |unread: &mut Vec<Bytes>| loop {
            match pages.get(0, make).await {
                Ok(page) => unread.push(page),
                Err(why) => break why,
            }
            time::sleep(Duration::from_millis(1)).await;
        };
        assert_eq!(all(&mut unread).await, NoPage::Unread);
        unread.clear();
        assert!(pages.get(0, make).await.is_ok());
    }
}
