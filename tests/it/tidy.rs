//! The rules that no compiler checks.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use wasmparser::{Parser, Payload, TypeRef};

/// What the core may depend on: none of these does I/O, reads a clock or draws a random number.
const CORE_MAY_USE: [&str; 2] = ["hashbrown", "xxhash-rust"];

/// What the module may ask of its host: proxy-wasm ABI 0.2.1, as the SDK's traits bring it whether we call it or not, and
/// the little of WASI that Rust's std needs. Another function is one that a host may not have: Envoy then refuses the module.
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
    "wasi_snapshot_preview1.environ_get",
    "wasi_snapshot_preview1.environ_sizes_get",
    "wasi_snapshot_preview1.fd_write",
    "wasi_snapshot_preview1.proc_exit",
    "wasi_snapshot_preview1.random_get",
];

#[test]
fn the_core_depends_on_nothing_that_does_io() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "-p", "picker-core", "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{lib}", "--target", "wasm32-wasip1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let used: BTreeSet<&str> = tree.lines().skip(1).filter(|line| !line.is_empty()).collect();
    let allowed = CORE_MAY_USE.map(|name| name.replace('-', "_"));
    let strangers: Vec<&&str> =
        used.iter().filter(|name| !allowed.iter().any(|allowed| allowed == **name)).collect();
    assert!(strangers.is_empty(), "core gained {strangers:?}; allowed: {CORE_MAY_USE:?}");
}

#[test]
fn one_file_of_the_filter_calls_the_host() {
    let naming: Vec<PathBuf> = files(&root().join("filter/src"))
        .into_iter()
        .filter(|file| fs::read_to_string(file).unwrap().contains("hostcalls"))
        .collect();
    assert_eq!(naming, [root().join("filter/src/host.rs")]);
}

#[test]
fn every_path_that_the_architecture_names_exists() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut named = 0;
    for path in text.split('`').skip(1).step_by(2).filter(|code| is_path(code)) {
        named += 1;
        assert!(root().join(path).exists(), "ARCHITECTURE.md names {path}, which does not exist");
    }
    assert!(named > 0, "ARCHITECTURE.md names no path at all");
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

#[test]
fn no_path_of_a_machine_is_written_down() {
    let paths = machine_paths();
    for file in tracked() {
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        for path in &paths {
            assert!(!text.contains(path), "{} names the machine's {path}", file.display());
        }
    }
    let module = fs::read(wasm()).unwrap();
    for path in paths {
        let found = module.windows(path.len()).any(|window| window == path.as_bytes());
        assert!(!found, "the .wasm names the machine's {path}");
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn wasm() -> PathBuf {
    let wasm = root().join("dist/llm-picker.wasm");
    assert!(wasm.exists(), "{} is missing: run ./build.sh first", wasm.display());
    wasm
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// The project's own files: neither what is built nor what git keeps.
fn tracked() -> Vec<PathBuf> {
    let ours = |path: &PathBuf| {
        !["target", "dist", ".git"].iter().any(|built| *path == root().join(built))
    };
    let top = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()).filter(ours);
    top.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Beginnings of paths that exist on one machine only: where this project and the user's home are, and where they mostly
/// are. In pieces, so that this file holds none.
fn machine_paths() -> Vec<String> {
    let home = env::var("HOME").unwrap_or_default();
    let here = [format!("{}/", root().display()), format!("{home}/")];
    let usual = ["home", "Users", "root"].map(|folder| format!("/{folder}/"));
    here.into_iter().chain(usual).filter(|path| path.len() > 1).collect()
}

/// `folder/`, `folder/file.rs` or `file.md`: not a command, not a URL, not a name with a gap in it.
fn is_path(code: &str) -> bool {
    let plain = code.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let file =
        [".rs", ".md", ".sh", ".toml", ".yaml", ".json"].iter().any(|end| code.ends_with(end));
    plain && !code.starts_with('/') && (code.ends_with('/') || file)
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
