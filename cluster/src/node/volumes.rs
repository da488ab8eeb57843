//! Contents of a pod's volumes: ConfigMaps, Secrets, tokens, and what the pod says of itself.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{files::OwnFiles, items, text};
use crate::{api::Api, control_plane::HOST};

/// Contents by the path below where a volume is mounted.
pub(super) type Contents = BTreeMap<PathBuf, Vec<u8>>;

/// Source of a pod's contents: the API server, asked in the pod's namespace.
pub(super) struct Source<'a> {
    pub(super) api: &'a Api,
    pub(super) namespace: &'a str,
    /// Address of the pod.
    pub(super) address: String,
}

impl Source<'_> {
    /// Returns the data of a Secret (`secrets`) or a ConfigMap (`configmaps`), if it is there.
    pub(super) async fn data(
        &self,
        kind: &str,
        name: &str,
    ) -> Result<Option<BTreeMap<String, Vec<u8>>>> {
        let path = format!("/api/v1/namespaces/{}/{kind}/{name}", self.namespace);
        let Some(object) = self.api.get(&path).await? else { return Ok(None) };
        let Some(data) = object.get("data").and_then(Value::as_object) else {
            return Ok(Some(BTreeMap::new()));
        };
        let mut contents = BTreeMap::new();
        for (key, value) in data {
            let value = value.as_str().unwrap_or_default();
            let bytes = if kind == "secrets" { STANDARD.decode(value)? } else { value.into() };
            contents.insert(key.clone(), bytes);
        }
        Ok(Some(contents))
    }

    /// Returns a field of the pod in the form of the downward API.
    pub(super) fn field(&self, pod: &Value, path: &str) -> String {
        match path {
            "status.podIP" => self.address.clone(),
            "status.hostIP" => HOST.to_owned(),
            "metadata.labels" | "metadata.annotations" => {
                let pairs = pod.pointer(&format!("/{}", path.replace('.', "/")));
                let pairs = pairs.and_then(Value::as_object).into_iter().flatten();
                let lines = pairs.map(|(key, value)| format!("{key}={value}"));
                lines.collect::<Vec<_>>().join("\n")
            }
            _ => text(pod, &format!("/{}", path.replace('.', "/"))).to_owned(),
        }
    }

    /// Returns a token of the pod's service account.
    async fn token(&self, pod: &Value, wanted: &Value) -> Result<Vec<u8>> {
        let account = text(pod, "/spec/serviceAccountName");
        let path = format!("/api/v1/namespaces/{}/serviceaccounts/{account}/token", self.namespace);
        let audiences = match text(wanted, "/audience") {
            "" => json!([]),
            audience => json!([audience]),
        };
        let seconds = wanted.get("expirationSeconds").cloned().unwrap_or_else(|| json!(3600));
        let bound = json!({
            "kind": "Pod", "apiVersion": "v1", "name": text(pod, "/metadata/name"), "uid": text(pod, "/metadata/uid"),
        });
        let spec = json!({
            "audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": bound,
        });
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec,
        });
        let answer = self.api.create(&path, &request).await?;
        let answer = answer.with_context(|| format!("there is no service account {account}"))?;
        Ok(text(&answer, "/status/token").into())
    }

    /// Returns what one volume holds, or one source of a projected volume.
    async fn contents(&self, volume: &Value, pod: &Value) -> Result<Contents> {
        for (key, kind, name) in
            [("secret", "secrets", "secretName"), ("configMap", "configmaps", "name")]
        {
            if let Some(wanted) = volume.get(key) {
                // A projected volume calls a Secret's name `name`.
                let name = wanted.get(name).or_else(|| wanted.get("name")).and_then(Value::as_str);
                let name = name.unwrap_or_default();
                let is_optional = wanted.get("optional").is_some_and(|it| it == true);
                let data = self.data(kind, name).await?;
                if data.is_none() && !is_optional {
                    bail!("{kind} {name} is not there");
                }
                return Ok(chosen(data.unwrap_or_default(), items(wanted, "/items")));
            }
        }
        if let Some(token) = volume.get("serviceAccountToken") {
            let token_file = PathBuf::from(text(token, "/path"));
            return Ok(Contents::from([(token_file, self.token(pod, token).await?)]));
        }
        let mut contents = Contents::new();
        for item in items(volume, "/downwardAPI/items") {
            let value = self.field(pod, text(item, "/fieldRef/fieldPath"));
            contents.insert(text(item, "/path").into(), value.into());
        }
        for source in items(volume, "/projected/sources") {
            contents.extend(Box::pin(self.contents(source, pod)).await?);
        }
        Ok(contents)
    }

    /// Writes all volumes that the container mounts.
    pub(super) async fn mount(
        &self,
        container: &Value,
        pod: &Value,
        files: &OwnFiles,
    ) -> Result<()> {
        for mount in items(container, "/volumeMounts") {
            let name = text(mount, "/name");
            let place = Path::new(text(mount, "/mountPath"));
            files.folder(place)?;
            let volume = items(pod, "/spec/volumes").iter().find(|it| text(it, "/name") == name);
            let volume = volume.with_context(|| format!("volume {name} is missing"))?;
            for (path, bytes) in
                self.contents(volume, pod).await.with_context(|| name.to_owned())?
            {
                files.write(&place.join(path), bytes)?;
            }
        }
        Ok(())
    }
}

/// Returns the data under the names that `items` gives them; all under their own without any.
fn chosen(data: BTreeMap<String, Vec<u8>>, items: &[Value]) -> Contents {
    if items.is_empty() {
        return data.into_iter().map(|(key, value)| (key.into(), value)).collect();
    }
    let one =
        |item: &Value| Some((text(item, "/path").into(), data.get(text(item, "/key"))?.clone()));
    items.iter().filter_map(one).collect()
}
