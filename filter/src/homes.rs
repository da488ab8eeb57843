//! Follow-ups: requests that go on from what one endpoint keeps, and answers that name such.

use std::net::SocketAddr;

use picker_core::worker::Input;
use wire::homes::{NameDigest, PoolDigest};

pub(crate) use wire::homes::Home;

use crate::{pool::Pool, run, store, vm};

/// Returns the endpoint of a pool that keeps what this tenant knows by this name.
pub(crate) fn home(pool: &Pool, tenant: &str, name: Option<&[u8]>) -> Option<SocketAddr> {
    let own = PoolDigest::new(&pool.config.name);
    find(tenant, name?).into_iter().find(|home| home.pool == own).map(|home| home.endpoint)
}

/// Returns the endpoints of any pool that keep what this tenant knows by this name.
pub(crate) fn find(tenant: &str, name: &[u8]) -> Vec<Home> {
    NameDigest::new(tenant, name, vm::prompt_key()).map(store::homes).unwrap_or_default()
}

/// Notes the endpoint of a pool that keeps what this tenant knows by this name, and has other gateways learn of it.
pub(crate) fn keep(pool: &Pool, tenant: &str, name: &[u8], endpoint: SocketAddr) {
    note(pool, NameDigest::new(tenant, name, vm::prompt_key()), endpoint);
}

/// Notes the same of a name that the client chose.
pub(crate) fn keep_chosen(pool: &Pool, tenant: &str, name: &[u8], endpoint: SocketAddr) {
    let name = NameDigest::new(tenant, name, vm::prompt_key());
    note(pool, name.map(NameDigest::chosen), endpoint);
}

fn note(pool: &Pool, name: Option<NameDigest>, endpoint: SocketAddr) {
    if let Some(name) = name {
        store::keep_home(name, Home { pool: PoolDigest::new(&pool.config.name), endpoint });
        run::tell(pool, Input::Kept { name: name.into(), endpoint });
    }
}
