//! One scrape of a pod: which page is asked for, and what it says.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Uri};
use wire::metrics::{Engine, Scanner};

use crate::{
    client::{Client, Peer},
    codec::Reading,
    fault::Fault,
};

/// The longest page that is read: vLLM's has 51 kB, and 33 kB more for each further engine, so this
/// has room for some 200 engines and LoRA series, and keeps 256 pods gone mad under 2 GiB.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// Whole pages that are read of a pod that did not select, before it is asked again whether it can:
/// a minute's at the usual interval.
const WHOLES: u32 = 1_200;

/// A pod's page, and what may be asked for in its place.
pub(super) struct Pages {
    pub(super) whole: Uri,
    /// The wanted families only: of vLLM a twentieth of the page, for a seventh of its time.
    pub(super) selection: Option<Uri>,
}

/// A pod being scraped.
pub(super) struct Scrape {
    client: Client,
    pages: Pages,
    /// Whole pages that are read before a selection is tried.
    wholes: u32,
    scanner: Scanner,
    /// Bytes of the last page.
    page_bytes: usize,
}

impl Scrape {
    /// # Errors
    /// If the pod's host can't stand in a header.
    pub(super) fn new(
        (peer, pages): (Peer, Pages),
        timeout: Duration,
        engine: Arc<Engine>,
    ) -> Result<Self, Fault> {
        let client = Client::new(peer, timeout, PAGE_BYTES_MAX)?;
        Ok(Self { client, pages, wholes: 0, scanner: Scanner::new(engine), page_bytes: 0 })
    }

    pub(super) const fn page_bytes(&self) -> usize {
        self.page_bytes
    }

    /// A selection where the pod has one that is good, or else the whole page: an older engine, or a
    /// proxy in front of it, may not know how to select. One that fails altogether is asked anew for
    /// a selection when it is back, maybe as another version.
    pub(super) async fn once(&mut self) -> Result<Reading, Fault> {
        let selection = self.pages.selection.clone().filter(|_| self.wholes == 0);
        if let Some(selection) = selection {
            match self.read(selection).await {
                Err(fault) if fault.is_about_page() => (),
                outcome => return outcome,
            }
        }
        let outcome = self.read(self.pages.whole.clone()).await;
        self.wholes = match (&outcome, self.wholes) {
            (Err(_), _) => 0,
            (Ok(_), 0) => WHOLES,
            (Ok(_), left) => left - 1,
        };
        outcome
    }

    async fn read(&mut self, uri: Uri) -> Result<Reading, Fault> {
        let mut request = Request::new(Full::<Bytes>::default());
        *request.uri_mut() = uri;
        let page = self.client.ask(request).await?.body;
        self.page_bytes = page.len();
        self.scanner.scan(&page).map_err(|why| Fault::Garbage(why.to_string()))
    }
}
