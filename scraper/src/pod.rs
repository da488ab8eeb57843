//! Scrapes one pod, again and again.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Uri};
use tokio::{sync::watch, time};

use crate::{
    board::{Row, Timed},
    client::Client,
    codec::{self, Reading},
    fault::Fault,
    link::Link,
    meters::Meters,
    notice, schedule,
};

/// The longest page that is read: vLLM's has 51 kB, and 33 kB more for each further engine, so this
/// has room for some 200 engines and LoRA series, and keeps 256 pods gone mad under 2 GiB.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// What all tasks of a pool's pods are told.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    pub(crate) pool: Arc<str>,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) meters: Arc<Meters>,
}

/// Scrapes `address` at the interval, from `phase` from now on, until aborted.
///
/// One scrape ends before the next begins; those that would have begun meanwhile are skipped.
pub(crate) async fn run(
    address: SocketAddr,
    orders: Orders,
    phase: Duration,
    row: watch::Sender<Row>,
) {
    let mut client = match Client::new(address.to_string(), orders.timeout, PAGE_BYTES_MAX) {
        Ok(client) => client,
        Err(fault) => return drop(row.send_replace(unusable(&fault))),
    };
    let (mut link, mut due) = (Link::new(), Instant::now() + phase);
    loop {
        time::sleep_until(due.into()).await;
        let began = Instant::now();
        let outcome = scrape(&mut client).await;
        orders.meters.scraped(&orders.pool, address, began.elapsed(), &outcome);
        let now = Instant::now();
        match outcome {
            Ok(reading) => {
                notice::succeeded(format_args!("pod {address}"), link.succeeded(now));
                let reading = Some(Timed { at: began, reading });
                row.send_replace(Row { tried: true, down: None, reading });
            }
            Err(fault) => {
                notice::failed(
                    format_args!("pod {address}"),
                    link.failed(now, fault.kind()),
                    &fault,
                );
                let down = link.is_down().then(|| fault.to_string());
                row.send_modify(|row| (row.tried, row.down) = (true, down));
            }
        }
        due = schedule::next(due, now, orders.interval, link.wait());
    }
}

async fn scrape(client: &mut Client) -> Result<Reading, Fault> {
    let mut request = Request::new(Full::<Bytes>::default());
    *request.uri_mut() = Uri::from_static("/metrics");
    let page = client.ask(request).await?;
    codec::scan(&page).map_err(Fault::Garbage)
}

fn unusable(fault: &Fault) -> Row {
    Row { tried: true, down: Some(fault.to_string()), reading: None }
}
