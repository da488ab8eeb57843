//! The door to the host: one file of the filter calls it, and asks only for functions that every Envoy has.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use wasmparser::{Parser, Payload, TypeRef};

use super::{files, root, wasm};

/// Functions that the module may import: proxy-wasm ABI 0.2.1, as the SDK's traits bring it whether we call it or not, and the
/// little of WASI that Rust's std needs. Any other is one that a host may not have: Envoy then refuses the module.
const HOST_FUNCTIONS: &[&str] = &[
    "env.proxy_add_header_map_value",
    "env.proxy_call_foreign_function",
    "env.proxy_close_stream",
    "env.proxy_continue_stream",
    "env.proxy_define_metric",
    "env.proxy_dequeue_shared_queue",
    "env.proxy_done",
    "env.proxy_enqueue_shared_queue",
    "env.proxy_get_buffer_bytes",
    "env.proxy_get_current_time_nanoseconds",
    "env.proxy_get_header_map_pairs",
    "env.proxy_get_header_map_value",
    "env.proxy_get_log_level",
    "env.proxy_get_metric",
    "env.proxy_get_property",
    "env.proxy_get_shared_data",
    "env.proxy_get_status",
    "env.proxy_grpc_call",
    "env.proxy_grpc_cancel",
    "env.proxy_grpc_close",
    "env.proxy_grpc_send",
    "env.proxy_grpc_stream",
    "env.proxy_http_call",
    "env.proxy_increment_metric",
    "env.proxy_log",
    "env.proxy_record_metric",
    "env.proxy_register_shared_queue",
    "env.proxy_remove_header_map_value",
    "env.proxy_replace_header_map_value",
    "env.proxy_resolve_shared_queue",
    "env.proxy_send_local_response",
    "env.proxy_set_buffer_bytes",
    "env.proxy_set_effective_context",
    "env.proxy_set_header_map_pairs",
    "env.proxy_set_property",
    "env.proxy_set_shared_data",
    "env.proxy_set_tick_period_milliseconds",
    "wasi_snapshot_preview1.clock_time_get",
    "wasi_snapshot_preview1.environ_get",
    "wasi_snapshot_preview1.environ_sizes_get",
    "wasi_snapshot_preview1.fd_write",
    "wasi_snapshot_preview1.proc_exit",
    "wasi_snapshot_preview1.random_get",
];

#[test]
fn one_file_of_the_filter_calls_the_host() {
    let naming: Vec<PathBuf> = files(&root().join("filter/src"))
        .into_iter()
        .filter(|file| fs::read_to_string(file).unwrap().contains("hostcalls"))
        .collect();
    assert_eq!(naming, [root().join("filter/src/host.rs")]);
}

#[test]
fn the_module_asks_only_for_known_host_functions() {
    let asked = imports(&fs::read(wasm()).unwrap());
    let strangers: Vec<&String> =
        asked.iter().filter(|name| !HOST_FUNCTIONS.contains(&name.as_str())).collect();
    assert!(strangers.is_empty(), "the .wasm asks for {strangers:?} too");
}

#[test]
fn the_module_is_newer_than_its_sources() {
    let built = modified(&wasm());
    for folder in ["core/src", "wire/src", "filter/src"] {
        for file in files(&root().join(folder)) {
            let name = file.display();
            assert!(modified(&file) <= built, "{name} is newer than the .wasm: run ./build.sh");
        }
    }
}

fn modified(file: &Path) -> std::time::SystemTime {
    fs::metadata(file).unwrap().modified().unwrap()
}

/// The functions that a module imports, as `module.name`.
fn imports(wasm: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let Payload::ImportSection(section) = payload.unwrap() else { continue };
        for import in section.into_imports() {
            let import = import.unwrap();
            if matches!(import.ty, TypeRef::Func(_)) {
                found.insert(format!("{}.{}", import.module, import.name));
            }
        }
    }
    found
}
