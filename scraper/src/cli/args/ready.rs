//! The command that asks a scraper whether it is ready.

use std::time::Duration;

use clap::Args as ClapArgs;
use hyper::http::uri::Authority;

/// The scraper that `ready` asks.
#[derive(Debug, ClapArgs)]
pub(crate) struct ReadyArgs {
    /// Address of the scraper's pages
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:9091", value_parser = address)]
    pub(crate) address: String,

    /// Longest time until the answer is there
    #[arg(long = "within", value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
}

/// Reads a host and a port.
fn address(text: &str) -> Result<String, String> {
    let parsed = text.parse::<Authority>();
    let has_port = |it: &Authority| it.port_u16().is_some() && !it.as_str().contains('@');
    match parsed {
        Ok(authority) if has_port(&authority) => Ok(authority.to_string()),
        Ok(_) | Err(_) => Err(format!("invalid address {text:?}: must be HOST:PORT")),
    }
}
