//! The exchange between the gateways of a pool, through the scraper.
//!
//! Up, in the reply to each push, go a gateway's own counts and placements; down, behind the next
//! snapshot, the part that is for one gateway alone: what the others have.

mod seal;

mod event;

mod record;

mod report;

mod part;

mod shared;

pub(crate) use part::FRAME as PART_FRAME;
pub use part::{decode as decode_part, encode as encode_part};
pub use record::EVENT_BYTES_MAX;
pub use report::{MEDIA_TYPE, REPORT_BYTES_MAX, decode as decode_report, encode as encode_report};
pub use seal::{PART_BYTES_MAX, PART_HEADER, PART_SIGNATURE_HEADER, Seal, SignedPart};
pub(crate) use shared::VERSION as SHARED_VERSION;
pub use shared::{OwnEntry, SharedOthers, StreamPosition};

/// Header by which the scraper asks for the gateway's side of the exchange, with the version that it
/// reads. A filter of before knows nothing of it, and gets no part.
pub const EXCHANGE_HEADER: &str = "x-llm-picker-exchange";

/// Version of the exchange, for [`EXCHANGE_HEADER`].
pub const VERSION: &str = "1";
