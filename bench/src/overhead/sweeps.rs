//! Sweeps over one thing, the rest as `overhead` has it: bodies, clients, workers, ways into Envoy,
//! and the balancing of an Envoy without the picker.

use std::time::Duration;

use anyhow::Result;
use stack::{Balancing, Programs, Way};

use super::{
    Case, LARGE, Loads, PODS, Paper, Row, SMALL,
    case::{Effort, Size},
    rows::{PLAIN, headers, picker, plain},
};
use crate::{Setting, body::Text, load::Kind, report::Report, upstream};

/// Rounds that are shorter than `overhead`'s, so that a table takes no more than five minutes.
const SHORT: Effort =
    Effort { rounds: 5, open: Some(Duration::from_secs(2)), closed: Duration::from_millis(1500) };

/// The thing that is varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sweep {
    Sizes,
    Clients,
    Workers,
    Ways,
    Balancing,
    Unread,
}

impl Sweep {
    /// Measures, and returns the report.
    pub(crate) async fn run(self, setting: &Setting) -> Result<Report> {
        match self {
            Self::Sizes => sizes(setting).await,
            Self::Clients => clients(setting).await,
            Self::Workers => workers(setting).await,
            Self::Ways => ways(setting).await,
            Self::Balancing => balancing(setting).await,
            Self::Unread => unread(setting).await,
        }
    }
}

/// Varies the bodies: sizes in which prompts come, and the same without anything that JSON escapes.
async fn sizes(setting: &Setting) -> Result<Report> {
    const KB: usize = 1 << 10;
    let middle = |name, bytes| Size { name, bytes, ..LARGE };
    let bodies = [
        SMALL,
        Size { name: "1 KB, no escapes", text: Text::Plain, ..SMALL },
        middle("8 KB", 8 * KB),
        middle("32 KB", 32 * KB),
        LARGE,
        Size { name: "220 KB, no escapes", text: Text::Plain, ..LARGE },
        middle("450 KB", 450 * KB),
    ];
    let rows = pair(setting, 2).await?;
    let report = Report::begin("overhead-sizes");
    let mut paper = Paper::begin(setting, report, SHORT, Loads::Both)?;
    let label = |size: &Size, row: &Row| format!("{}, c={}: {}", size.name, size.clients, row.name);
    paper.table("bodies", crossed(&bodies, &rows, label)).await?;
    Ok(paper.end())
}

/// Varies the clients: more and more, without pause.
async fn clients(setting: &Setting) -> Result<Report> {
    let rows = pair(setting, 2).await?;
    let effort = Effort { open: None, closed: Duration::from_secs(2), ..SHORT };
    let report = Report::begin("overhead-clients");
    let mut paper = Paper::begin(setting, report, effort, Loads::Closed)?;
    for size in [SMALL, LARGE] {
        let sizes = [1, 20, 60, 150].map(|clients| Size { clients, ..size });
        let label = |size: &Size, row: &Row| format!("c={}: {}", size.clients, row.name);
        paper.table(size.name, crossed(&sizes, &rows, label)).await?;
    }
    Ok(paper.end())
}

/// Varies the worker threads of Envoy.
async fn workers(setting: &Setting) -> Result<Report> {
    const WORKERS: [usize; 3] = [1, 2, 4];
    let mut pairs = Vec::new();
    for workers in WORKERS {
        pairs.push(pair(setting, workers).await?);
    }
    let report = Report::begin("overhead-workers");
    let mut paper = Paper::begin(setting, report, SHORT, Loads::Both)?;
    for size in [SMALL, LARGE] {
        let mut cases = Vec::new();
        for (workers, rows) in WORKERS.iter().zip(&pairs) {
            let label = |_: &Size, row: &Row| format!("workers: {workers}, {}", row.name);
            let first = cases.len();
            let more = crossed(&[size], rows, label).into_iter();
            cases.extend(more.map(|case| Case { plain: first, ..case }));
        }
        paper.table(size.name, cases).await?;
    }
    Ok(paper.end())
}

/// Varies the way into Envoy.
async fn ways(setting: &Setting) -> Result<Report> {
    let programs = &setting.programs;
    let pods = upstream::start(PODS)?;
    let mut rows = vec![Row::envoy(PLAIN, plain(programs, &pods, Balancing::RoundRobin)).await?];
    for way in Way::ALL {
        rows.push(Row::envoy(&way.to_string(), picker(programs, &pods).way(way)).await?);
    }
    both(setting, "overhead-ways", &rows).await
}

/// Varies the balancing of an Envoy without the picker.
async fn balancing(setting: &Setting) -> Result<Report> {
    let programs = &setting.programs;
    let pods = upstream::start(PODS)?;
    let alone = |balancing| plain(programs, &pods, balancing);
    let rows = [
        Row::envoy("Envoy, round robin", alone(Balancing::RoundRobin)).await?,
        Row::envoy("Envoy, least request", alone(Balancing::LeastRequest)).await?,
        Row::envoy("Envoy, ring hash, at most 1.25 of the mean", alone(Balancing::RingHash))
            .await?,
        Row::envoy("picker", picker(programs, &pods)).await?,
    ];
    both(setting, "overhead-balancing", &rows).await
}

/// Asks for what is not read: what computes nothing, and bodies of no form that names a model.
async fn unread(setting: &Setting) -> Result<Report> {
    let programs = &setting.programs;
    let pods = upstream::start(PODS)?;
    let rows = [
        Row::envoy("plain Envoy and a filter of headers", headers(setting, &pods)).await?,
        Row::envoy(PLAIN, plain(programs, &pods, Balancing::RoundRobin)).await?,
        Row::envoy("picker", picker(programs, &pods)).await?,
    ];
    let mut paper = Paper::begin(setting, Report::begin("overhead-unread"), SHORT, Loads::Both)?;
    let kinds = [
        ("GET /health, at once", Kind::Health),
        ("POST of 1 KB of no form, by load", Kind::Opaque { bytes: 1 << 10 }),
    ];
    for (title, kind) in kinds {
        let cases = super::beside(&rows, SMALL).into_iter().map(|case| Case { kind, ..case });
        paper.table(title, cases.collect()).await?;
    }
    Ok(paper.end())
}

/// Makes a table for each of the two sizes, against the first row.
async fn both(setting: &Setting, name: &'static str, rows: &[Row]) -> Result<Report> {
    let mut paper = Paper::begin(setting, Report::begin(name), SHORT, Loads::Both)?;
    for size in [SMALL, LARGE] {
        paper.table(size.name, super::beside(rows, size)).await?;
    }
    Ok(paper.end())
}

/// Starts the plain Envoy and the picker.
async fn pair(setting: &Setting, workers: usize) -> Result<[Row; 2]> {
    let (programs, pods): (&Programs, _) = (&setting.programs, upstream::start(PODS)?);
    let plain = plain(programs, &pods, Balancing::RoundRobin).workers(workers);
    let picker = picker(programs, &pods).workers(workers);
    Ok([Row::envoy(PLAIN, plain).await?, Row::envoy("picker", picker).await?])
}

/// Returns a case for each size with each row, compared with the same size's first row.
fn crossed<'a>(
    sizes: &[Size],
    rows: &'a [Row],
    label: impl Fn(&Size, &Row) -> String,
) -> Vec<Case<'a>> {
    let mut cases = Vec::new();
    for size in sizes {
        let first = cases.len();
        cases.extend(rows.iter().map(|row| Case::new(&label(size, row), row, *size, first)));
    }
    cases
}
