//! The cost of an answer under `--profile instant`: requests per second of the server's one thread,
//! from the CPU time that the thread used, so that a busy machine does not spoil the figure.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench that can't go on should say where, and its output is the result"
)]

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Instant,
};

use sim::{Options, Profile, Server};

/// Number of clients, enough to keep the server's thread busy.
const CLIENTS: usize = 16;
/// Clock ticks per second of `/proc`, on every Linux.
const TICKS: f64 = 100.0;

/// Returns the CPU seconds of the thread with the server in it.
fn cpu_seconds() -> f64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let stats = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    let server = stats.filter(|stat| stat.contains("(vllm-sim)"));
    server
        .map(|stat| {
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
            (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / TICKS
        })
        .sum()
}

/// Sends `body` `count` times over one connection and reads the answers.
fn client(server: SocketAddr, body: &str, count: usize) {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_nodelay(true).unwrap();
    let length = body.len();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: sim\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    let mut buffer = vec![0; 64 << 10];
    for _ in 0..count {
        stream.write_all(request.as_bytes()).unwrap();
        let mut read = 0;
        while !whole(&buffer[..read]) {
            read += stream.read(&mut buffer[read..]).unwrap();
        }
    }
}

/// True if a whole answer is there: the last chunk of a stream, or as much as was announced.
fn whole(answer: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(answer) else { return false };
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    assert!(head.starts_with("HTTP/1.1 200"), "{text}");
    match head.split_once("content-length: ") {
        Some((_, rest)) => body.len() == rest.lines().next().unwrap().parse::<usize>().unwrap(),
        None => body.ends_with("0\r\n\r\n"),
    }
}

fn run(name: &str, body: &str, count: usize) {
    let options = Options { profile: Profile::Instant, ..Options::default() };
    let server = Server::start(options).unwrap();
    client(server.addr, body, 200);
    let (began, cpu) = (Instant::now(), cpu_seconds());
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| client(server.addr, body, count / CLIENTS));
        }
    });
    let (wall, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let (rate, per_core) = (count as f64 / wall, count as f64 / cpu);
    let micros = cpu / count as f64 * 1e6;
    println!("{name:<28} {rate:>9.0} req/s here {per_core:>9.0} req/s/core {micros:>7.1} us CPU");
}

fn main() {
    let chat = |text: &str, rest: &str| {
        format!(r#"{{"model":"tiny","messages":[{{"role":"user","content":"{text}"}}],{rest}}}"#)
    };
    let (kilobyte, long) = ("word ".repeat(200), "word ".repeat(44_000));
    run("1 KB, 1 token", &chat(&kilobyte, r#""max_tokens":1"#), 80_000);
    run("1 KB, 16 tokens", &chat(&kilobyte, r#""max_tokens":16"#), 80_000);
    let stream = r#""max_tokens":16,"ignore_eos":true,"stream":true"#;
    run("1 KB, stream of 16 tokens", &chat(&kilobyte, stream), 32_000);
    run("220 KB, 16 tokens", &chat(&long, r#""max_tokens":16"#), 16_000);
}
