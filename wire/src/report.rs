//! The gateway's report to the scraper: requests in flight and waiting, and decisions. It travels
//! in a [`crate::reply`]. A filter of before that replied in JSON, which is still read: unknown
//! fields are passed over and missing ones read as nothing, since scraper and filter are upgraded
//! apart.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::details::Details;

/// Bytes of a report at most: 4,096 endpoints, all of them with requests in flight, take 300 kB.
pub const REPORT_BYTES_MAX: usize = 1 << 20;

/// Media type of a report by itself.
pub const MEDIA_TYPE: &str = "application/json";

/// Knowledge of a gateway about one pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Report {
    /// Workers that have served requests of the pool.
    pub workers: usize,
    /// Requests that are held, over all workers.
    pub waiting: u32,
    /// Requests by their decisions, since the gateway started.
    pub decisions: Decisions,
    /// Endpoints that have requests in flight.
    pub in_flight: Vec<InFlight>,
    /// Flows that have requests waiting. A sum over fewer than `waiting` while the queues change
    /// hands.
    pub queues: Vec<Queue>,
    /// Details for people, which have a section of their own in a reply.
    #[serde(skip)]
    pub details: Details,
}

/// Requests since the gateway started, over all its pools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Decisions {
    /// Requests that were given an endpoint.
    pub picked: u64,
    /// Requests that were let through without an endpoint.
    pub failed_open: u64,
    /// Requests that were answered with an error.
    pub refused: u64,
}

/// Requests in flight on one endpoint, through this gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InFlight {
    /// Address of the endpoint.
    pub endpoint: SocketAddr,
    /// Requests that were sent and have not ended.
    pub requests: u32,
    /// Prompt tokens of these requests that the endpoint has not read yet, where anything goes by
    /// them.
    pub tokens: u32,
}

/// Requests of one tenant that wait in one band.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// Priority of the band.
    pub priority: i32,
    /// Fairness id of the tenant.
    pub fairness_id: String,
    /// Number of the requests.
    pub requests: u64,
    /// Bytes of the requests' bodies.
    pub bytes: u64,
}

impl Report {
    /// Reads the report of a filter that replies in JSON.
    ///
    /// # Errors
    /// For bytes that are no JSON of this form, in words.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > REPORT_BYTES_MAX {
            return Err(format!("found {} bytes; allowed: {REPORT_BYTES_MAX}", bytes.len()));
        }
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_back() {
        let report = Report {
            workers: 2,
            waiting: 3,
            decisions: Decisions { picked: 10, failed_open: 1, refused: 2 },
            in_flight: vec![InFlight {
                endpoint: SocketAddr::from(([10, 0, 0, 1], 8000)),
                requests: 4,
                tokens: 1200,
            }],
            queues: vec![Queue {
                priority: -1,
                fairness_id: "a \"b\" <c>".to_owned(),
                requests: 3,
                bytes: 900,
            }],
            details: Details::default(),
        };
        let bytes = serde_json::to_vec(&report).unwrap();
        insta::assert_snapshot!(String::from_utf8_lossy(&bytes), @r#"{"workers":2,"waiting":3,"decisions":{"picked":10,"failedOpen":1,"refused":2},"inFlight":[{"endpoint":"10.0.0.1:8000","requests":4,"tokens":1200}],"queues":[{"priority":-1,"fairnessId":"a \"b\" <c>","requests":3,"bytes":900}]}"#);
        assert_eq!(Report::decode(&bytes), Ok(report));
    }

    #[test]
    fn another_version_is_understood_as_far_as_it_goes() {
        assert_eq!(Report::decode(b"{}"), Ok(Report::default()));
        let newer = br#"{"waiting": 7, "mood": "good"}"#;
        assert_eq!(Report::decode(newer), Ok(Report { waiting: 7, ..Report::default() }));
        assert!(Report::decode(b"").is_err() && Report::decode(b"1").is_err());
        assert!(Report::decode(&vec![b' '; REPORT_BYTES_MAX + 1]).is_err());
    }
}
