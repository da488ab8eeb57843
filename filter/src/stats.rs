//! Counts of requests, summed in the VM's memory and written now and then: a request costs no host call
//! for them.

mod in_flight;
mod request;
mod show;

pub(crate) use in_flight::InFlight;
pub(crate) use request::{
    Done, Observed, SentRequest, begin, begin_wait, count_choice, count_dispatch_cycle,
    count_evicted, count_fallback, count_grant, count_outcome, count_overruled, count_own_error,
    count_placed, count_plugins, count_refused, count_unmetered, count_unread, count_work,
    end_wait, micros, note, record,
};
pub(crate) use show::show_pool;
