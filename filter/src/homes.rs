//! Follow-ups: requests that go on from what one endpoint keeps, and answers that name such.

use std::{net::SocketAddr, rc::Rc};

use wire::homes::NameDigest;

use crate::{pool::Pool, vm};

/// Returns the endpoint of a pool that keeps what has this name.
pub(crate) fn home(pool: &Pool, name: Option<&[u8]>) -> Option<SocketAddr> {
    pool.store.home(NameDigest::new(name?, vm::prompt_key())?)
}

/// Takes the first of these pools out that keeps what has this name, with the endpoint.
pub(crate) fn take_pool(
    pools: &mut Vec<Rc<Pool>>,
    name: Option<&[u8]>,
) -> Option<(Rc<Pool>, SocketAddr)> {
    let name = NameDigest::new(name?, vm::prompt_key())?;
    let mut homes = pools.iter().enumerate();
    let (index, home) = homes.find_map(|(index, pool)| Some((index, pool.store.home(name)?)))?;
    Some((pools.swap_remove(index), home))
}

/// Notes the endpoint of a pool that keeps what has this name.
pub(crate) fn keep(pool: &Pool, name: &[u8], endpoint: SocketAddr) {
    if let Some(name) = NameDigest::new(name, vm::prompt_key()) {
        pool.store.keep_home(name, endpoint);
    }
}
