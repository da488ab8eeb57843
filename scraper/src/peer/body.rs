//! Bodies from peers, read into one buffer: what a body costs is its limit, however it is cut up.

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body;

/// Bytes of a frame, at least, in a body that is read whole: each frame costs a turn of the thread, and a body of
/// single bytes would cost as many turns as it has bytes.
const FRAME_BYTES_MIN: usize = 64;

/// Frames that a body may have beyond that: whoever writes little by little, as a page of a few lines is written.
const FRAMES_FREE: usize = 1_024;

/// Reason why a body was not read.
#[derive(Debug)]
pub(crate) enum BodyFault<E> {
    /// The body is longer than allowed, or comes in more pieces than bytes would explain.
    TooLarge,
    /// The body broke off.
    Broken(E),
}

/// Beginning of a body.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) bytes: Bytes,
    /// True if nothing comes after it.
    pub(super) is_whole: bool,
}

/// Reads a body whole.
///
/// # Errors
/// If the body is longer than `bytes_max`, or breaks off.
pub(crate) async fn read_whole<B>(body: B, bytes_max: usize) -> Result<Bytes, BodyFault<B::Error>>
where
    B: Body<Data = Bytes> + Unpin,
{
    let least = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if least > bytes_max {
        return Err(BodyFault::TooLarge);
    }
    let head = read_head(body, bytes_max).await.map_err(BodyFault::Broken)?;
    if head.is_whole { Ok(head.bytes) } else { Err(BodyFault::TooLarge) }
}

/// Reads the first `bytes_max` bytes of a body, and less of one in too many pieces.
///
/// # Errors
/// If the body breaks off before.
pub(super) async fn read_head<B>(mut body: B, bytes_max: usize) -> Result<Head, B::Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let frames_max = bytes_max / FRAME_BYTES_MIN + FRAMES_FREE;
    let mut bytes = BytesMut::new();
    let mut frames = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        frames += 1;
        let room = bytes_max - bytes.len();
        // A frame keeps the buffer that it was read into, so its bytes are copied.
        bytes.put_slice(data.get(..room).unwrap_or(&data));
        if data.len() > room || frames > frames_max {
            return Ok(Head { bytes: bytes.freeze(), is_whole: false });
        }
    }
    Ok(Head { bytes: bytes.freeze(), is_whole: true })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{FutureExt as _, StreamExt as _, stream};
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    /// A body of so many frames of so many bytes.
    fn frames(count: usize, bytes: usize) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        let frame = move |_| Ok(Frame::data(Bytes::from(vec![b'0'; bytes])));
        StreamBody::new(stream::iter(0..count).map(frame))
    }

    fn whole(count: usize, bytes: usize, bytes_max: usize) -> Option<usize> {
        let read = read_whole(frames(count, bytes), bytes_max).now_or_never().unwrap();
        read.ok().map(|bytes| bytes.len())
    }

    #[test]
    fn a_body_has_its_bytes_at_most_and_few_frames_for_them() {
        assert_eq!(whole(0, 0, 0), Some(0));
        assert_eq!(whole(8, 512, 4_096), Some(4_096));
        assert_eq!(whole(8, 513, 4_096), None);
        assert_eq!(whole(500, 1, 4_096), Some(500), "a short page, letter by letter");
        assert_eq!(whole(1 << 20, 1, 1 << 20), None, "a long one");
        assert_eq!(whole(1 << 20, 0, 1 << 20), None, "frames without bytes");
    }

    #[test]
    fn the_head_of_a_body_without_end_is_read() {
        let endless = StreamBody::new(stream::repeat_with(|| {
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"012")))
        }));
        let head = read_head(endless, 7).now_or_never().unwrap().unwrap();
        assert_eq!((&*head.bytes, head.is_whole), (&b"0120120"[..], false));
        let head = read_head(frames(2, 3), 7).now_or_never().unwrap().unwrap();
        assert_eq!((&*head.bytes, head.is_whole), (&b"000000"[..], true));
    }
}
