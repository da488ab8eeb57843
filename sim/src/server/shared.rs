//! The state that handlers, clock and admin share.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::{
    sync::{Notify, mpsc::UnboundedReceiver, watch},
    time::{sleep, sleep_until},
};

use super::{
    desk::{Desk, News},
    fault::{Fault, Kind},
    kept::KeptResponses,
    traffic::Traffic,
};
use crate::{
    Options,
    engine_core::{Config, Request, RequestId},
};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: Options,
    engine: Config,
    desk: Mutex<Desk>,
    traffic: Mutex<Traffic>,
    kept: Mutex<KeptResponses>,
    /// Key of the ids that are made here: no two servers make the same.
    ids: RandomState,
    /// Number of HTTP requests for completions under way: `/load`.
    pub(super) load: AtomicUsize,
    /// Unix time of the start in seconds: the `_created` of all counters.
    created: Mutex<f64>,
    origin: Instant,
    /// Unix time of `origin`, in seconds.
    pub(super) origin_unix: f64,
    stepped: Notify,
    faults: watch::Sender<Fault>,
    resets: watch::Sender<u64>,
    stop: watch::Sender<bool>,
}

/// A request handed in. Dropping it tells the engine that the client left.
#[derive(Debug)]
pub(super) struct Ticket {
    shared: Arc<Shared>,
    id: RequestId,
    pub(super) news: UnboundedReceiver<News>,
}

impl Shared {
    pub(super) fn new(options: Options, engine: Config, stop: watch::Sender<bool>) -> Self {
        Self {
            desk: Mutex::new(Desk::new(engine.clone())),
            traffic: Mutex::default(),
            kept: Mutex::default(),
            ids: RandomState::new(),
            load: AtomicUsize::new(0),
            created: Mutex::new(unix_now()),
            origin: Instant::now(),
            origin_unix: unix_now(),
            stepped: Notify::new(),
            faults: watch::channel(Fault::default()).0,
            resets: watch::channel(0).0,
            options,
            engine,
            stop,
        }
    }

    /// Locks the engine and its clients. Nothing panics while it holds the lock; if something did,
    /// the state is whole between two calls.
    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn engine(&self) -> &Config {
        &self.engine
    }

    pub(super) fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, KeptResponses> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn created(&self) -> MutexGuard<'_, f64> {
        self.created.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the engine's time: since the start.
    pub(super) fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// True if `--max-num-queued-reqs` requests are here already.
    pub(super) fn is_full(&self) -> bool {
        let (running, waiting) = self.desk().core.in_flight();
        let full = running + waiting >= self.options.max_num_queued_reqs;
        if full {
            self.traffic().rejected += 1;
        }
        full
    }

    pub(super) fn submit(self: &Arc<Self>, request: Request, stream: bool) -> Ticket {
        let (id, news) = self.desk().submit(self.now(), request, stream);
        self.load.fetch_add(1, Ordering::Relaxed);
        self.stepped.notify_one();
        Ticket { shared: Arc::clone(self), id, news }
    }

    pub(super) fn fault(&self) -> Fault {
        *self.faults.borrow()
    }

    pub(super) fn faults(&self) -> watch::Receiver<Fault> {
        self.faults.subscribe()
    }

    pub(super) fn resets(&self) -> watch::Receiver<u64> {
        self.resets.subscribe()
    }

    pub(super) fn set_fault(&self, fault: Fault) {
        tracing::info!(?fault, "fault");
        self.desk().pause(self.now(), fault.kind == Kind::Pause);
        if fault.kind == Kind::Restart {
            self.desk().restart(self.engine.clone());
            *self.traffic() = Traffic::default();
            *self.kept() = KeptResponses::default();
            *self.created() = unix_now();
        }
        self.faults.send_replace(fault);
        if matches!(fault.kind, Kind::Refuse | Kind::Restart) {
            self.resets.send_modify(|count| *count += 1);
        }
        self.stepped.notify_one();
    }

    /// Ends steps when they are due.
    pub(super) async fn run_steps(self: Arc<Self>) {
        loop {
            let due = self.desk().core.due();
            match due {
                None => self.stepped.notified().await,
                Some(due) => {
                    // A step under way is never cut short: nothing else to wait for.
                    sleep_until((self.origin + due).into()).await;
                    self.desk().advance(self.now());
                }
            }
        }
    }

    /// Heals what heals by itself, and dies of what is deadly.
    pub(super) async fn run_healer(self: Arc<Self>) {
        let mut faults = self.faults();
        loop {
            let fault = *faults.borrow_and_update();
            let healed = async {
                match fault.lasts() {
                    Some(lasts) => sleep(lasts).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = faults.changed() => if changed.is_err() { return },
                () = healed => {
                    if fault.kind == Kind::Health503 {
                        self.stop.send_replace(true);
                    }
                    self.set_fault(Fault::default());
                }
            }
        }
    }
}

impl Ticket {
    /// Locks the responses that the server keeps.
    pub(super) fn kept(&self) -> MutexGuard<'_, KeptResponses> {
        self.shared.kept()
    }

    /// Returns sixteen hexadecimal digits that no other request gets, here or at another server.
    pub(super) fn random_id(&self) -> String {
        format!("{:016x}", self.shared.ids.hash_one(self.id.0))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.shared.desk().leave(self.shared.now(), self.id);
        self.shared.load.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns the seconds since the Unix epoch.
pub(super) fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
