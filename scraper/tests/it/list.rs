//! The list of endpoints changes while the scraper runs.

use std::{fs, path::Path};

use scraper::{
    StartError,
    settings::{Discovery, ListedEndpoints, Objectives, parse_objective},
};

use crate::world::{Envoy, Pod, Pushes, page, poll, pool, settings, start};

fn listed(endpoints: &[&str], file: Option<&Path>) -> Discovery {
    let endpoints = endpoints.iter().map(|it| it.parse().unwrap()).collect();
    Discovery::Listed(ListedEndpoints { endpoints, file: file.map(Into::into) })
}

fn labels(pushes: &Pushes) -> Vec<String> {
    let endpoints = pushes.last.iter().flat_map(|snapshot| &snapshot.endpoints);
    endpoints.map(|endpoint| format!("{} {:?}", endpoint.address, endpoint.labels)).collect()
}

#[tokio::test]
async fn every_snapshot_brings_the_objectives() {
    let (pod, envoy) = (Pod::start(page(1)).await, Envoy::start().await);
    let mut settings = settings(&[pod.address], &[envoy.address]);
    let given = ["paid=10", "batch=-5"].map(|text| parse_objective(text).unwrap());
    settings.pools[0].objectives = Objectives::new(given.to_vec()).unwrap();
    let _scraper = start(settings).await;
    let said = |pushes: &Pushes| {
        let objectives = pushes.last.iter().flat_map(|snapshot| &snapshot.objectives);
        objectives.map(|it| format!("{} {}", it.name, it.priority)).collect::<Vec<_>>()
    };
    for count in 1..=3 {
        let pushes = envoy.wait("one more", |it| it.count >= count).await;
        assert_eq!(said(&pushes), ["batch -5", "paid 10"]);
    }
}

#[tokio::test]
async fn a_changed_file_is_followed_and_a_broken_one_is_not() {
    let (one, two) = (Pod::start(page(1)).await, Pod::start(page(2)).await);
    let envoy = Envoy::start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, format!("{}\n", one.address)).unwrap();
    let mut settings = settings(&[], &[envoy.address]);
    settings.pools[0].discovery = listed(&[], Some(file.path()));
    let scraper = start(settings).await;
    envoy.wait("the first list", |it| labels(it) == [format!("{} []", one.address)]).await;

    fs::write(&file, format!("{} a=b\n{}\n", one.address, two.address)).unwrap();
    let both = [format!("{} [(\"a\", \"b\")]", one.address), format!("{} []", two.address)];
    envoy.wait("the second list", |it| labels(it) == both).await;

    fs::write(&file, "what is this\n").unwrap();
    let now = envoy.pushes().count;
    // The file is read four times a second, and there are twenty pushes.
    let later = envoy.wait("ten more pushes", |it| it.count >= now + 10).await;
    assert_eq!(labels(&later), both);

    fs::write(&file, "# scaled to zero\n").unwrap();
    envoy.wait("the empty list", |it| labels(it).is_empty()).await;
    let series = format!("endpoint=\"{}\"", one.address);
    poll(&scraper, "/metrics", |page| !page.contains(&series)).await;
}

/// A pool's snapshots have its own endpoints, and an Envoy gets those of all pools.
#[tokio::test]
async fn several_pools_are_scraped_at_once() {
    let (one, two) = (Pod::start(page(1)).await, Pod::start(page(2)).await);
    let envoy = Envoy::start().await;
    let mut settings = settings(&[], &[envoy.address]);
    settings.pools = vec![pool("chat", &[one.address]), pool("code", &[two.address])];
    let _scraper = start(settings).await;
    for (name, pod) in [("chat", one.address), ("code", two.address)] {
        let said = |pushes: &Pushes| pushes.last.as_ref().is_some_and(|it| it.pool == name);
        let pushes = envoy.wait(name, said).await;
        assert_eq!(labels(&pushes), [format!("{pod} []")]);
    }
}

#[tokio::test]
async fn a_name_stands_for_its_address() {
    let (pod, envoy) = (Pod::start(page(1)).await, Envoy::start().await);
    let mut settings = settings(&[], &[envoy.address]);
    let name = format!("localhost:{}", pod.address.port());
    settings.pools[0].discovery = listed(&[&name], None);
    let _scraper = start(settings).await;
    envoy.wait("the address", |it| labels(it) == [format!("{} []", pod.address)]).await;
}

#[tokio::test]
async fn a_file_broken_from_the_start_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, "10.0.0.1:8000\n10.0.0.2\n").unwrap();
    let mut settings = settings(&[], &[]);
    settings.pools[0].discovery = listed(&[], Some(file.path()));
    let Err(StartError::Endpoints(why)) = scraper::Scraper::start(settings).await else {
        panic!("it started")
    };
    assert!(
        why.ends_with("line 2: invalid endpoint \"10.0.0.2\": must be HOST:PORT; found no port"),
        "{why}"
    );
}
