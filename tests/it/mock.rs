//! Stories over the built .wasm in the mock: several workers, a fake clock, every byte in our hand.
//!
//! What a real Envoy does with it is told in `envoy`. Here is what needs workers that are chosen,
//! clocks that are turned, and VMs that die when the story says so.

mod push;
mod story;
mod world;

mod elsewhere;
mod placing;
mod ranks;
mod taking_back;
mod ways;

mod admission;
mod affinity;
mod attributes;
mod avoidance;
mod disagg;
mod subset;

mod apis;
mod follow_ups;
mod many_pools;
mod models;
mod operations;
mod pools;
mod responses;
mod routes;
mod served_by;
mod streams;
mod templates;
mod texts;
mod usage;

mod hermetic;
mod identity;
mod objectives;
mod observe;
mod refusals;
mod trust;

mod configuration;
mod debugged;
mod exchange;
mod faulty;
mod ingest;
mod pull;
mod report;
mod retired;
mod rollback;
mod tallied;
mod versions;

mod bodies;
mod clocks;
mod deaths;
mod flood;
mod fuzz;
mod hostile;
mod limits;
mod stalled;

mod flow;
mod uploads;

mod cost;
mod law;
mod sweep;
