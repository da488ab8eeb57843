//! A peer, which is a pod or an Envoy: how it is talked to, and how it is judged.

mod fault;
mod link;
mod message;
mod network;
mod notice;

mod addresses;
mod body;
mod tls;

mod client;

pub(crate) use addresses::{FoundName, look_up_all, one_family};
pub(crate) use body::{BodyFault, read_whole};
pub(crate) use client::{Answer, Client, Peer};
pub(crate) use fault::{Fault, OUTCOMES};
pub(crate) use link::{Link, Notice};
pub(crate) use message::one_line;
pub(crate) use network::network;
pub(crate) use notice::{log_failure, log_success};
pub(crate) use tls::TlsClient;
