//! The task that asks one pod for its list of models, now and then.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Uri};
use picker_core::Model;
use tokio::{sync::watch, time};
use wire::models::LIST_BYTES_MAX;

use crate::{
    peer::{Client, Fault, Peer},
    pool::ScrapeState,
};

/// Time between two questions: an adapter that was loaded is listed that much later.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// Time before a pod that gave no list is asked again: most such engines have none.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Least time between two questions, whatever the pod says of itself: the number of its life is its own to choose.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Longest time for an answer. Engines answer late while they compute, and nothing waits for this.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Path of the list, at the port that serves requests.
const PATH: &str = "/v1/models";

/// The task of one pod.
pub(super) struct ModelsTask {
    pub(super) peer: Peer,
    /// Outcome of the pod's scrapes.
    pub(super) state: watch::Receiver<ScrapeState>,
}

impl ModelsTask {
    /// Asks the pod at once when it is up or has begun a new life, and then again and again, until aborted.
    pub(super) async fn run(mut self, models: watch::Sender<Arc<[Model]>>) {
        let Ok(mut client) = Client::new(self.peer.clone(), TIMEOUT, LIST_BYTES_MAX) else {
            return;
        };
        let is_up = |state: &ScrapeState| state.tried && state.trouble.is_none();
        loop {
            let life = match self.state.wait_for(is_up).await {
                Ok(state) => state.life,
                Err(_) => return,
            };
            let pause = match ask(&mut client).await {
                Ok(list) => {
                    models.send_if_modified(|known| {
                        let is_new = **known != *list;
                        *known = list.into();
                        is_new
                    });
                    ASK_EVERY
                }
                // What it said before holds while its pages come.
                Err(_) => RETRY_AFTER,
            };
            time::sleep(PAUSE_MIN).await;
            let another_life = self.state.wait_for(|state| state.life.number != life.number);
            if matches!(time::timeout(pause - PAUSE_MIN, another_life).await, Ok(Err(_))) {
                return;
            }
        }
    }
}

async fn ask(client: &mut Client) -> Result<Vec<Model>, Fault> {
    let mut request = Request::new(Full::<Bytes>::default());
    *request.uri_mut() = Uri::from_static(PATH);
    let page = client.ask(request).await?.body;
    wire::models::parse(&page).ok_or_else(|| Fault::Garbage("no list of models".to_owned()))
}
