//! The program itself: what it prints, and how it ends.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Output, Stdio},
};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_llm-scraper"));
    command.args(["--endpoint", "127.0.0.1:1", "--envoy", "http://127.0.0.1:1"]);
    command
        .args(["--listen", "127.0.0.1:0"])
        .env_remove("LLM_PICKER_SECRET")
        .env_remove("RUST_LOG");
    command
}

fn last_words(output: &Output) -> &str {
    str::from_utf8(&output.stderr).unwrap().trim_end()
}

#[test]
fn without_a_good_secret_it_does_not_start() {
    let output = program().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(last_words(&output), @"llm-scraper: the environment variable LLM_PICKER_SECRET is not set: it must hold the secret that the Envoys have too, 16 bytes or more");

    let output = program().env("MINE", "short").args(["--secret-env", "MINE"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(last_words(&output), @"llm-scraper: the secret in the environment variable MINE is too short: it has 5 bytes, and must have 16 or more");
}

#[test]
fn an_objective_given_twice_is_refused() {
    let twice = ["--objective", "paid=10", "--objective", "paid=20"];
    let output = program().env("LLM_PICKER_SECRET", "0123456789abcdef").args(twice).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(last_words(&output), @r#"llm-scraper: objective "paid" is given twice"#);
}

#[test]
fn it_says_where_it_listens_and_stops_when_asked() {
    let mut child = program()
        .env("LLM_PICKER_SECRET", "0123456789abcdef")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("listening: http://127.0.0.1:"), "{line}");

    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", last_words(&output));
    assert!(last_words(&output).contains("SIGTERM: stopping"), "{}", last_words(&output));
}
