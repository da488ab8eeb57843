//! Snapshots on their way to gateways: made and signed once, then pushed to each gateway or
//! fetched.

mod secret_file;
mod signed_snapshot;
mod stamp;

mod publisher;

mod reader;

mod pusher;
mod refusals;

mod gateway_set;

mod pull;

pub(crate) use gateway_set::{GatewaySet, WatchedGateway};
pub(crate) use publisher::Publisher;
pub(crate) use pull::{PullState, report_and_snapshot, snapshot};
pub(crate) use pusher::{EnvoyStatus, TimedReport};
pub(crate) use reader::ReplyTaker;
pub(crate) use secret_file::SecretFile;
