//! The Kubernetes API in JSON: what a node asks and tells.

use std::path::Path;

use anyhow::{Context, Result, bail};
use http_body_util::BodyExt as _;
use hyper::{Method, Request};
use kube::{
    Client, Config,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;

/// A connection to the API server as an administrator.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
}

impl Api {
    /// Reads the server and the user from a kubeconfig.
    pub(crate) async fn connect(kubeconfig: &Path) -> Result<Self> {
        let file = Kubeconfig::read_from(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        Ok(Self { client: Client::try_from(config)? })
    }

    /// Returns what is at the path, unless it is not there.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<Value>> {
        self.send(Method::GET, path, "application/json", None).await
    }

    /// Returns the items of the list at the path, as the API server last saw them.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Value>> {
        let mut list = self.get(&format!("{path}?resourceVersion=0")).await?;
        let items = list.as_mut().and_then(|list| list.get_mut("items"));
        Ok(items.and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default())
    }

    /// Creates what the body says; `None` if it was gone, or there, already.
    pub(crate) async fn create(&self, path: &str, body: &Value) -> Result<Option<Value>> {
        self.send(Method::POST, path, "application/json", Some(body)).await
    }

    /// Merges the body into the object at the path.
    pub(crate) async fn merge(&self, path: &str, body: &Value) -> Result<Option<Value>> {
        self.send(Method::PATCH, path, "application/merge-patch+json", Some(body)).await
    }

    /// Deletes the object at the path.
    pub(crate) async fn delete(&self, path: &str, options: &Value) -> Result<Option<Value>> {
        self.send(Method::DELETE, path, "application/json", Some(options)).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        content: &str,
        body: Option<&Value>,
    ) -> Result<Option<Value>> {
        let what = || format!("{method} {path}");
        let bytes = body.map(ToString::to_string).unwrap_or_default().into_bytes();
        let request = Request::builder().method(method.clone()).uri(path);
        let request = request.header("content-type", content).body(Body::from(bytes))?;
        let response = self.client.send(request).await.with_context(what)?;
        let status = response.status();
        let body = response.into_body().collect().await.with_context(what)?.to_bytes();
        match status.as_u16() {
            // An object that is gone, or was changed or made by another client meanwhile: the next look sees it.
            404 | 409 => Ok(None),
            200..300 => Ok(Some(serde_json::from_slice(&body).with_context(what)?)),
            _ => bail!("{}: {status}: {}", what(), String::from_utf8_lossy(&body)),
        }
    }
}
