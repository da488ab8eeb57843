//! Bodies as clients send them, for tests and benches.

/// 70 bytes without an escape.
pub(crate) const PLAIN: &str =
    "The quick brown fox jumps over the lazy dog and runs far into the woods";
/// The escapes of real prompts: a line break every 70 bytes, quotes, now and then a tab.
pub(crate) const ESCAPED: &str = concat!(
    r#"The quick brown fox says \"jump\" and runs over the lazy dog, far away\n"#,
    r#"\tThen it sleeps under a tree until somebody comes along with a lamp.\n"#,
    r#"Nobody ever asks it what it dreams of, or why it would not just stay.\n"#,
);
/// The same with a character beyond ASCII in every paragraph, as clients in Python write it.
pub(crate) const MIXED: &str = concat!(
    r#"The reviewer wrote: \"It does not compile since the last change\".\nPlease find out "#,
    r#"what has changed, fix it, and say why it went\nwrong \u2014 the caf\u00e9 demo is on "#,
    r#"Friday. This is the function:\n\nfn open(name: &str) -> File {\n\tlet path = "#,
    r#"root().join(\"data\").join(name);\n\tFile::open(&path).context(path)\n}\n\n"#,
);
/// JSON within a JSON string, as tool calls and their results carry it.
pub(crate) const NESTED: &str =
    r#"{\"path\": \"src/main.rs\", \"text\": \"fn main() {\\n    run();\\n}\\n\"}, "#;
/// Chinese text as clients write it that escape everything but ASCII.
pub(crate) const UNICODE: &str = r"\u4f60\u597d\uff0c\u4e16\u754c\u3002";

/// A chat request of about `size` bytes: a short system message, then `text` again and again.
pub(crate) fn chat(size: usize, text: &str) -> String {
    let head = concat!(
        r#"{"model": "meta-llama/Llama-3.1-8B-Instruct", "messages": [{"role": "system", "#,
        r#""content": "You are a helpful assistant."}, {"role": "user", "content": ""#,
    );
    let tail = r#""}], "max_tokens": 128, "temperature": 0.7, "stream": true}"#;
    let times = size.saturating_sub(head.len() + tail.len()) / text.len();
    format!("{head}{}{tail}", text.repeat(times))
}
