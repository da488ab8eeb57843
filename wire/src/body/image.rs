//! The size of an image in a data URL, by its first bytes.

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Size of an image that does not say its own (EPP: token-producer, estimate).
pub(super) const DEFAULT: (u32, u32) = (640, 360);

/// Bytes of base64 that are decoded. A JPEG has its size behind its colour profile and its preview,
/// which take some tens of kilobytes; the other formats have it within 30 bytes.
const DECODED_MAX: usize = 64 << 10;

/// Decoder of the beginning of a text, which needs no padding and may be cut within a byte.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Returns the size of the image in a `data:` URL, or of base64 alone as Anthropic has it.
pub(super) fn size(url: &[u8]) -> Option<(u32, u32)> {
    let base64 = match url.strip_prefix(b"data:") {
        Some(rest) => {
            let at = memchr::memmem::find(rest, b";base64,")?;
            rest.get(at + b";base64,".len()..)?
        }
        None => url,
    };
    // All formats but JPEG say it at once, so that little is decoded first.
    let head = decode(base64, 64)?;
    png(&head).or_else(|| gif(&head)).or_else(|| webp(&head)).or_else(|| {
        head.starts_with(b"\xff\xd8").then(|| jpeg(&decode(base64, DECODED_MAX)?)).flatten()
    })
}

/// Decodes the first `len` characters.
fn decode(base64: &[u8], len: usize) -> Option<Vec<u8>> {
    let whole = base64.len().min(len) & !3;
    BASE64.decode(base64.get(..whole)?).ok()
}

fn be16(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?)))
}

fn le16(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?)))
}

/// Reads the size of a PNG (ISO 15948): the first chunk is the header.
fn png(bytes: &[u8]) -> Option<(u32, u32)> {
    bytes.starts_with(b"\x89PNG\r\n\x1a\n").then_some(())?;
    let be32 = |at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    Some((be32(16)?, be32(20)?))
}

/// Reads the size of a GIF, which is that of its logical screen.
fn gif(bytes: &[u8]) -> Option<(u32, u32)> {
    (bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a")).then_some(())?;
    Some((le16(bytes, 6)?, le16(bytes, 8)?))
}

/// Reads the size of a WebP (RFC 9649): lossy, lossless or extended.
fn webp(bytes: &[u8]) -> Option<(u32, u32)> {
    (bytes.starts_with(b"RIFF") && bytes.get(8..12)? == b"WEBP").then_some(())?;
    match bytes.get(12..16)? {
        b"VP8 " => Some((le16(bytes, 26)? & 0x3fff, le16(bytes, 28)? & 0x3fff)),
        b"VP8L" => {
            let bits = u32::from_le_bytes(*bytes.get(21..)?.first_chunk()?);
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        b"VP8X" => {
            let le24 = |at: usize| Some(le16(bytes, at)? | u32::from(*bytes.get(at + 2)?) << 16);
            Some((le24(24)? + 1, le24(27)? + 1))
        }
        _ => None,
    }
}

/// Reads the size of a JPEG (ISO 10918-1, annex B): from the first frame header among the segments.
fn jpeg(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        // Every segment begins with this byte: where it is absent, the place is lost.
        if *bytes.get(at)? != 0xff {
            return None;
        }
        match *bytes.get(at + 1)? {
            // Fill bytes.
            0xff => at += 1,
            // Frames, but for the tables that share their numbers.
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Some((be16(bytes, at + 7)?, be16(bytes, at + 5)?));
            }
            _ => at += 2 + usize::try_from(be16(bytes, at + 2)?).ok()?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BASE64, size};
    use base64::Engine as _;

    fn url(bytes: &[u8]) -> Vec<u8> {
        format!("data:image/x;base64,{}", BASE64.encode(bytes)).into_bytes()
    }

    #[test]
    fn every_format_says_its_size() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x04\0\0\0\x03\0\x08\x06";
        let gif = b"GIF89a\x40\x01\xf0\0\xf7";
        let vp8 = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x80\x42\xe0\x41";
        let vp8l = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\x3f\xc1\x3b\x00";
        let vp8x = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\x03\0\xff\x02\0";
        let mut jpeg = b"\xff\xd8\xff\xe0\x00\x08JFIF\0\0\xff\xe1\xff\xff".to_vec();
        jpeg.resize(jpeg.len() + 0xfffd - 30_000, 0);
        assert_eq!(size(&url(&jpeg)), None, "its profile is longer than what is looked at");
        let jpeg = b"\xff\xd8\xff\xe0\x00\x08JFIF\0\0\xff\xff\xdb\0\x03\0\xff\xc2\0\x11\x08\x01\xe0\x02\x80\x03";
        let sizes = [&png[..], gif, vp8, vp8l, vp8x, jpeg].map(|bytes| size(&url(bytes)));
        assert_eq!(
            sizes,
            [(1024, 768), (320, 240), (640, 480), (320, 240), (1024, 768), (640, 480)].map(Some)
        );
        assert_eq!(size(BASE64.encode(png).as_bytes()), Some((1024, 768)), "without a URL");
    }

    #[test]
    fn what_is_no_image_says_none() {
        for bytes in [&b""[..], b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF....WEBPVP9 ....", b"text"]
        {
            assert_eq!(size(&url(bytes)), None);
        }
        assert_eq!(size(b"https://example.com/a.png"), None);
        assert_eq!(size(b"data:image/png,raw"), None);
        assert_eq!(size(b"data:image/png;base64,%%%%"), None);
    }
}
