//! A filter's HTTP call, as a piece of its module.

/// A call to a cluster with these headers, and its result as a note. At most one in a module.
pub(crate) fn http_call(cluster: &str, headers: &[(&str, &str)], millis: u32) -> HttpCall {
    // As proxy-wasm has them: their number, all lengths, then each text with a zero behind it.
    let word = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    let mut pairs = word(headers.len()).to_vec();
    for (name, value) in headers {
        pairs.extend([word(name.len()), word(value.len())].concat());
    }
    for (name, value) in headers {
        pairs.extend(format!("{name}\0{value}\0").into_bytes());
    }
    let escaped: String = pairs.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let (at, len) = (CALL_DATA + cluster.len(), pairs.len());
    HttpCall {
        data: format!("(data (i32.const {CALL_DATA}) \"{cluster}{escaped}\")"),
        call: format!(
            "(call $note (call $call (i32.const {CALL_DATA}) (i32.const {}) (i32.const {at})
            (i32.const {len}) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const {millis}) (i32.const 80)))",
            cluster.len()
        ),
    }
}

/// What [`http_call`] makes.
pub(crate) struct HttpCall {
    pub(crate) data: String,
    pub(crate) call: String,
}

/// Behind the letters of contexts.
const CALL_DATA: usize = 4096;
