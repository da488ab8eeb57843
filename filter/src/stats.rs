//! Counts of requests, summed in the VM's memory and written now and then: a request costs no host call
//! for them.

mod request;
mod show;

pub(crate) use request::{
    Done, Observed, SentRequest, begin, count_grant, count_outcome, count_overruled, count_placed,
    count_refused, count_unmetered, record,
};
pub(crate) use show::show_pool;
