//! Stories over a real Envoy: what a host mock would only believe. Each ends with every worker's VM alive.

mod admission;
mod alone;
mod bodies;
mod client;
mod document;
mod echo;
mod failures;
mod flow;
mod headers;
mod hermetic;
mod istio;
mod library;
mod pull;
mod push;
mod requests;
mod routing;
mod run;
mod scheduling;
mod scraped;
mod snapshots;
mod upstream;
mod world;
