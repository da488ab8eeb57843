//! The health of a watch.

use std::time::Instant;

use hyper::StatusCode;
use kube::{
    api::DynamicObject,
    runtime::watcher::{Error, Event},
};

use super::Change;
use crate::peer::{Fault, Link, log_failure, log_success, one_line};

/// The health of one watch, logged as that of a pod that comes and goes.
#[derive(Debug)]
pub(crate) struct WatchHealth {
    name: String,
    link: Link,
}

impl WatchHealth {
    pub(crate) const fn new(name: String) -> Self {
        Self { name, link: Link::new() }
    }

    /// Returns the event, or the fault after which kube-rs tries again.
    pub(crate) fn judge(&mut self, change: Change) -> Result<Event<DynamicObject>, Fault> {
        let now = Instant::now();
        match change {
            Ok(event) => {
                log_success(&self.name, self.link.succeeded(now));
                Ok(event)
            }
            Err(error) => {
                let fault = fault(&error);
                if !is_expired(&fault) {
                    log_failure(&self.name, self.link.failed(now, fault.kind()), &fault);
                }
                Err(fault)
            }
        }
    }
}

/// True for the way in which API servers end watches all the time: the objects are listed again.
fn is_expired(fault: &Fault) -> bool {
    matches!(fault, Fault::Status(StatusCode::GONE, _))
}

fn fault(error: &Error) -> Fault {
    let answered = |code, said: &str| {
        // A number that is no status is the server's own fault.
        let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Fault::Status(status, one_line(said))
    };
    match error {
        Error::WatchError(status) => answered(status.code, &status.message),
        Error::InitialListFailed(why) | Error::WatchStartFailed(why) | Error::WatchFailed(why) => {
            if let kube::Error::Api(status) = why {
                return answered(status.code, &status.message);
            }
            Fault::Broken(one_line(&why.to_string()))
        }
        Error::NoResourceVersion => Fault::Garbage("there is no resource version".to_owned()),
    }
}
