//! The commands that tell why a request goes where it does.

use std::{path::PathBuf, time::Duration};

use clap::Args as ClapArgs;
use scraper::EnvoyUrl;

/// The request that `explain` explains.
#[derive(Debug, ClapArgs)]
pub(crate) struct ExplainArgs {
    /// File with the body of a request
    #[arg(value_name = "BODY.json")]
    pub(crate) body: PathBuf,

    /// The plugin's configuration, YAML or JSON; all defaults if left out
    #[arg(long, value_name = "FILE", conflicts_with = "gateway")]
    pub(crate) picker: Option<PathBuf>,

    /// The request's path, which selects the API by which the body is read
    #[arg(long, default_value = "/v1/chat/completions")]
    pub(crate) path: String,

    /// URL at which a gateway serves clients: it is asked, and sends the request nowhere
    #[arg(long, value_name = "URL")]
    pub(crate) gateway: Option<EnvoyUrl>,

    /// A header of the question to the gateway, as one that authenticates it, or its host; repeatable
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header, requires = "gateway")]
    pub(crate) headers: Vec<(String, String)>,

    /// File with the authorities that vouch for a gateway at https://
    #[arg(long, value_name = "FILE", requires = "gateway")]
    pub(crate) ca: Option<PathBuf>,

    /// Take any certificate of a gateway at https://
    #[arg(long, requires = "gateway", conflicts_with = "ca")]
    pub(crate) insecure_skip_verify: bool,
}

/// The header that `debug-header` prints.
#[derive(Debug, ClapArgs)]
pub(crate) struct DebugHeaderArgs {
    /// Time for which the header holds, 12h at most
    #[arg(long = "for", value_name = "DURATION", default_value = "5m", value_parser = humantime::parse_duration)]
    pub(crate) lifetime: Duration,

    /// Have requests explained as JSON and sent nowhere, in the place of being served
    #[arg(long)]
    pub(crate) explain: bool,
}

/// Reads a header as curl takes it.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or_else(|| format!("invalid header {text:?}: must be NAME: VALUE"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
