//! How a watch fares.

use std::time::Instant;

use hyper::StatusCode;
use kube::{
    api::DynamicObject,
    runtime::watcher::{Error, Event},
};

use super::Change;
use crate::{codec, fault::Fault, link::Link, notice};

/// One watch, told of in the log as a pod is that comes and goes.
#[derive(Debug)]
pub(crate) struct Standing {
    name: String,
    link: Link,
}

impl Standing {
    pub(crate) const fn new(name: String) -> Self {
        Self { name, link: Link::new() }
    }

    /// The event, or why there is none: then kube-rs tries again.
    pub(crate) fn judge(&mut self, change: Change) -> Result<Event<DynamicObject>, Fault> {
        let now = Instant::now();
        match change {
            Ok(event) => {
                notice::succeeded(&self.name, self.link.succeeded(now));
                Ok(event)
            }
            Err(error) => {
                let fault = fault(&error);
                if !is_expired(&fault) {
                    notice::failed(&self.name, self.link.failed(now, fault.kind()), &fault);
                }
                Err(fault)
            }
        }
    }
}

/// As API servers end watches all the time: what is watched is listed again.
fn is_expired(fault: &Fault) -> bool {
    matches!(fault, Fault::Status(StatusCode::GONE, _))
}

fn fault(error: &Error) -> Fault {
    let answered = |code, said: &str| {
        // A status that is none is the server's own fault.
        let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Fault::Status(status, codec::one_line(said))
    };
    match error {
        Error::WatchError(status) => answered(status.code, &status.message),
        Error::InitialListFailed(why) | Error::WatchStartFailed(why) | Error::WatchFailed(why) => {
            if let kube::Error::Api(status) = why {
                return answered(status.code, &status.message);
            }
            Fault::Broken(codec::one_line(&why.to_string()))
        }
        Error::NoResourceVersion => Fault::Garbage("there is no resource version".to_owned()),
    }
}
