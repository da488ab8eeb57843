//! The filter with a mine in it: nothing that a client or an operator sends kills a VM, and there is no door in the filter
//! that is only for tests, so the built module is changed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "of a module's thirty sections three matter here"
)]

use std::{fs, net::SocketAddr, path::Path};

use stack::{Programs, Stack};
use wasmparser::{ExternalKind, FunctionBody, Parser, Payload, TypeRef};

use crate::envoy::client::{Reply, chat_with};

/// A request with more headers than this traps in `proxy_on_request_headers`.
const HEADERS: u8 = 60;

/// The section of a module with the functions' bodies.
const CODE: u8 = 10;

/// The built programs with a mined filter, which is written to `dir`.
pub(super) fn programs(dir: &Path) -> Programs {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let programs = Programs::built_in(root).unwrap();
    let file = dir.join("mined.wasm");
    fs::write(&file, mined(&fs::read(programs.wasm()).unwrap())).unwrap();
    programs.with_wasm(file)
}

/// Steps on it: one worker's VM dies.
pub(super) async fn step(gateway: SocketAddr) -> Reply {
    let headers: Vec<_> = (0..=HEADERS).map(|_| ("x-many", "1".to_owned())).collect();
    chat_with(gateway, "boom", &headers).await
}

/// How many VMs were made in the place of dead ones.
pub(super) async fn reloads(stack: &Stack) -> u64 {
    let stats = stack.stats("^wasm.llm-picker.vm_reload_success$").await.unwrap();
    stats.trim().rsplit(' ').next().unwrap().parse().unwrap()
}

/// The module with some instructions in front of that function's.
fn mined(module: &[u8]) -> Vec<u8> {
    let (mut imported, mut target, mut header) = (0, None, 0);
    let mut bodies: Vec<FunctionBody<'_>> = Vec::new();
    let mut code = 0..0;
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.unwrap();
        match &payload {
            Payload::ImportSection(imports) => {
                let imports = imports.clone().into_imports();
                let is_function = |ty| matches!(ty, TypeRef::Func(_) | TypeRef::FuncExact(_));
                imported =
                    imports.filter(|import| is_function(import.as_ref().unwrap().ty)).count();
            }
            Payload::ExportSection(exports) => {
                let wanted =
                    |name, kind| name == "proxy_on_request_headers" && kind == ExternalKind::Func;
                let mut exports = exports.clone().into_iter().map(Result::unwrap);
                target = exports.find(|it| wanted(it.name, it.kind)).map(|it| it.index as usize);
            }
            Payload::CodeSectionStart { range, .. } => code = range.clone(),
            Payload::CodeSectionEntry(body) => bodies.push(body.clone()),
            _ => (),
        }
        // The section's own number and length are between the one before and its contents.
        if let Some((id, range)) = payload.as_section()
            && id != CODE
            && code.is_empty()
        {
            header = range.end;
        }
    }
    let target = target.unwrap() - imported;
    let mut section = leb128(bodies.len());
    for (index, body) in bodies.iter().enumerate() {
        let range = body.range();
        let begin = body.get_operators_reader().unwrap().original_position();
        let mut bytes = module[range.start..begin].to_vec();
        if index == target {
            // local.get 1, i32.const HEADERS, i32.gt_u, if, unreachable, end
            bytes.extend([0x20, 1, 0x41, HEADERS, 0x4b, 0x04, 0x40, 0x00, 0x0b]);
        }
        bytes.extend(&module[begin..range.end]);
        section.extend(leb128(bytes.len()));
        section.extend(bytes);
    }
    let mut mined = module[..header].to_vec();
    mined.push(CODE);
    mined.extend(leb128(section.len()));
    mined.extend(section);
    mined.extend(&module[code.end..]);
    mined
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
