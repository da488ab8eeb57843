//! Answers to Envoy's external processing, as the endpoint picker's protocol has them.
//!
//! Numbers are those of the fields in envoy/service/ext_proc/v3/external_processor.proto.

use std::net::SocketAddr;

use super::protobuf::{Field, Message, fields};

/// Header and metadata that name the endpoint.
const DESTINATION: &str = "x-gateway-destination-endpoint";

/// Namespace of that metadata.
const NAMESPACE: &str = "envoy.lb";

/// Header of an answer by which a client sees that the picker was asked, as the real one sets it.
const WAS_ASKED: &str = "x-went-into-resp-headers";

/// Answers to the messages of one request.
#[derive(Debug)]
pub(super) struct Answers {
    endpoint: SocketAddr,
}

impl Answers {
    /// Answers for a request that is to go to this endpoint.
    pub(super) const fn new(endpoint: SocketAddr) -> Self {
        Self { endpoint }
    }

    /// Returns the answer to a message; `None` to one that asks nothing.
    pub(super) fn to(&self, message: &[u8]) -> Option<Vec<u8>> {
        for field in fields(message) {
            let Field::Bytes(number, contents) = field else { continue };
            let answer = match number {
                2 => self.request_headers(),
                3 => Message::default().message(2, common(WAS_ASKED, "true")),
                // Bodies go back as they came, chunk by chunk: Envoy keeps none in this mode.
                4 => Message::default().message(3, body(contents)),
                5 => Message::default().message(4, body(contents)),
                6 => Message::default().message(5, Message::default()),
                7 => Message::default().message(6, Message::default()),
                _ => continue,
            };
            return Some(answer.finish());
        }
        None
    }

    fn request_headers(&self) -> Message {
        let endpoint = self.endpoint.to_string();
        let text = Message::default().bytes(3, &endpoint);
        let inner = entry(DESTINATION, text);
        let metadata = entry(NAMESPACE, Message::default().message(5, inner));
        let headers = common(DESTINATION, &endpoint);
        Message::default().message(1, headers).message(8, metadata)
    }
}

/// Returns a `google.protobuf.Struct` of one entry.
fn entry(key: &str, value: Message) -> Message {
    Message::default().message(1, Message::default().bytes(1, key).message(2, value))
}

/// Returns an answer to headers, which sets one of them.
fn common(key: &str, value: &str) -> Message {
    let header = Message::default().bytes(1, key).bytes(3, value);
    // 2: overwrites what is there.
    let option = Message::default().message(1, header).number(3, 2);
    let mutation = Message::default().message(1, option);
    Message::default().message(1, Message::default().message(2, mutation))
}

/// Returns an answer to a chunk of a body: the same chunk.
fn body(chunk: &[u8]) -> Message {
    let mut streamed = Message::default();
    for field in fields(chunk) {
        streamed = match field {
            Field::Bytes(1, bytes) => streamed.bytes(1, bytes),
            Field::Number(2, is_last) => streamed.number(2, is_last),
            Field::Bytes(..) | Field::Number(..) => streamed,
        };
    }
    let mutation = Message::default().message(3, streamed);
    Message::default().message(1, Message::default().message(3, mutation))
}
