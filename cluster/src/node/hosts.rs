//! Names of Services in the place of a DNS server: each pod's hosts file has, for each, the address of one pod behind it.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use anyhow::Result;
use tokio::{sync::watch, time::sleep};

use super::{items, text};
use crate::{api::Api, control_plane::HOST, say};

/// Time between two looks at the Services: a pod that leaves is to be known before its program ends.
const LOOK: Duration = Duration::from_millis(200);

/// Writes the names of Services into a file, and tells them, whenever they change.
pub(super) async fn follow(api: Api, file: PathBuf, told: watch::Sender<String>) {
    let new = file.with_extension("new");
    loop {
        let written = match lines(&api).await {
            Ok(lines) if lines == *told.borrow() => Ok(()),
            // Whole at any time, for what looks from outside the pods.
            Ok(lines) => fs::write(&new, &lines)
                .and_then(|()| fs::rename(&new, &file))
                .map(|()| _ = told.send_replace(lines))
                .map_err(Into::into),
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            say(&format!("the node failed to follow the Services: {error:#}"));
        }
        sleep(LOOK).await;
    }
}

/// Returns the lines of a hosts file for all Services that have ready pods. A port of a Service that is not its pods' own
/// cannot be reached so; none of the charts has one that is used by name.
async fn lines(api: &Api) -> Result<String> {
    let mut addresses = BTreeMap::new();
    for slice in api.list("/apis/discovery.k8s.io/v1/endpointslices").await? {
        let service = slice.pointer("/metadata/labels/kubernetes.io~1service-name");
        let Some(service) = service.and_then(|name| name.as_str()) else { continue };
        let namespace = text(&slice, "/metadata/namespace");
        for endpoint in items(&slice, "/endpoints") {
            let is_ready = endpoint.pointer("/conditions/ready").is_some_and(|it| it == true);
            let address = text(endpoint, "/addresses/0");
            if is_ready && !address.is_empty() {
                addresses.insert(format!("{service}.{namespace}"), address.to_owned());
            }
        }
    }
    let mut lines = format!("127.0.0.1 localhost\n{HOST} kubernetes.default.svc\n");
    for (name, address) in addresses {
        lines.push_str(&format!("{address} {name} {name}.svc {name}.svc.cluster.local\n"));
    }
    Ok(lines)
}
