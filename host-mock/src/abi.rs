//! The host functions of ABI 0.2.1, one file per area.

mod buffer;
mod headers;
mod property;
mod shared;
mod stream;
mod telemetry;
mod time;
mod unmodelled;
mod wasi;
// Every one of them is a call to a host.
mod call;
mod host;

pub(crate) use host::Host;

use crate::module::Module;
use wasmtime::{Linker, Store};

/// Defines every host function that this Envoy has.
pub(crate) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    telemetry::link(linker)?;
    time::link(linker)?;
    unmodelled::link(linker)?;
    headers::link(linker)?;
    buffer::link(linker)?;
    stream::link(linker)?;
    property::link(linker)?;
    shared::link(linker)?;
    wasi::link(linker)
}

/// Refuses a module of another ABI, or one that wants what no Envoy has.
pub(crate) fn check(
    module: &Module,
    linker: &mut Linker<Host>,
    store: &mut Store<Host>,
) -> anyhow::Result<()> {
    let missing: Vec<_> = module
        .compiled
        .imports()
        .filter(|import| linker.get_by_import(&mut *store, import).is_none())
        .map(|import| format!("{}.{}", import.module(), import.name()))
        .collect();
    if !missing.is_empty() {
        anyhow::bail!("the module imports what the host doesn't have: {}", missing.join(", "));
    }
    let versions: Vec<_> = module
        .compiled
        .exports()
        .map(|export| export.name().to_owned())
        .filter(|name| name.starts_with("proxy_abi_version_"))
        .collect();
    match versions.as_slice() {
        [version] if version == "proxy_abi_version_0_2_1" => Ok(()),
        found => anyhow::bail!("the module exports {found:?}, not proxy_abi_version_0_2_1"),
    }
}
