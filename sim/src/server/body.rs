//! The body of a request, whole and of bounded length.

use axum::body::{Body, Bytes, to_bytes};

use super::error::Refusal;

/// Bytes of a body: nothing that fits a context of 131,072 tokens is longer, escapes and images
/// included.
const BODY_MAX: usize = 64 << 20;

/// Reads a body to its end. One that breaks off is refused as well, though its client is gone.
pub(super) async fn read(body: Body) -> Result<Bytes, Refusal> {
    to_bytes(body, BODY_MAX).await.map_err(|_| Refusal::TooLarge { bytes_max: BODY_MAX })
}

#[cfg(test)]
mod tests {
    use axum::{http::StatusCode, response::IntoResponse as _};
    use tokio::runtime;

    use super::*;

    #[test]
    fn a_body_over_the_limit_is_refused_and_not_read_as_empty() {
        let runtime = runtime::Builder::new_current_thread().build().unwrap();
        let read = |bytes| runtime.block_on(read(Body::from(vec![b' '; bytes])));
        assert_eq!(read(BODY_MAX).ok().map(|body| body.len()), Some(BODY_MAX));
        let refused = read(BODY_MAX + 1).err().map(|it| it.into_response().status());
        assert_eq!(refused, Some(StatusCode::PAYLOAD_TOO_LARGE));
    }
}
