//! A scrape of a pod: the page that is asked for, and its reading.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Uri};
use wire::metrics::{Engine, Reading, Scanner, Unfit};

use crate::peer::{Client, Fault, Peer};

/// Bytes of the longest page that is read: vLLM's has 51 kB, and 33 kB more for each further
/// engine, so this has room for some 200 engines and LoRA series. A pod with such pages is asked less often the
/// longer they are.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// Whole pages that are read of a pod that did not select, before it is asked again whether it can:
/// a minute's at the usual interval.
const WHOLE_PAGES_MAX: u32 = 1_200;

/// The metrics pages of a pod.
pub(super) struct MetricsPages {
    pub(super) peer: Peer,
    /// The whole page.
    pub(super) whole: Uri,
    /// The wanted families only: of vLLM a twentieth of the page, for a seventh of its time.
    pub(super) selection: Option<Uri>,
}

/// A pod being scraped.
pub(super) struct PodScraper {
    client: Client,
    whole: Uri,
    selection: Option<Uri>,
    /// Number of whole pages that are read before a selection is tried.
    whole_pages_left: u32,
    scanner: Scanner,
    /// Bytes of the last page.
    page_bytes: usize,
}

impl PodScraper {
    /// Creates a scraper without a connection.
    ///
    /// # Errors
    /// If the pod's host can't be written into a header.
    pub(super) fn new(
        pages: MetricsPages,
        timeout: Duration,
        engine: Arc<Engine>,
    ) -> Result<Self, Fault> {
        let MetricsPages { peer, whole, selection } = pages;
        Ok(Self {
            client: Client::new(peer, timeout, PAGE_BYTES_MAX)?,
            whole,
            selection,
            whole_pages_left: 0,
            scanner: Scanner::new(engine),
            page_bytes: 0,
        })
    }

    pub(super) const fn page_bytes(&self) -> usize {
        self.page_bytes
    }

    /// Reads a selection where the pod has one that is good, or else the whole page: an older
    /// engine, or a proxy in front of it, may not know how to select. A pod that fails altogether
    /// is asked anew for a selection when it is back, maybe as another version.
    pub(super) async fn once(&mut self) -> Result<Reading, Fault> {
        let selection = self.selection.clone().filter(|_| self.whole_pages_left == 0);
        if let Some(selection) = selection {
            match self.read(selection).await {
                Err(fault) if fault.is_about_page() => (),
                outcome => return outcome,
            }
        }
        let outcome = self.read(self.whole.clone()).await;
        self.whole_pages_left = match (&outcome, self.whole_pages_left) {
            (Err(_), _) => 0,
            (Ok(_), 0) => WHOLE_PAGES_MAX,
            (Ok(_), left) => left - 1,
        };
        outcome
    }

    async fn read(&mut self, uri: Uri) -> Result<Reading, Fault> {
        let mut request = Request::new(Full::<Bytes>::default());
        *request.uri_mut() = uri;
        let answer = self.client.ask(request).await;
        // What is too long to be read costs as much as the longest page that is.
        self.page_bytes = match &answer {
            Ok(answer) => answer.body.len(),
            Err(Fault::TooLarge(limit)) => *limit,
            Err(_) => self.page_bytes,
        };
        let page = answer?.body;
        self.scanner.scan(&page).map_err(|why| match why {
            Unfit::Asleep => Fault::Asleep,
            why => Fault::Garbage(why.to_string()),
        })
    }
}
