//! A kept-alive HTTP/1.1 connection that knows as little HTTP as it can: the proxy lacks whatever
//! the load costs.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Time after which a response is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// Number of bytes read at once; heads and answers here are under 2 KiB.
const READ: usize = 16 << 10;

/// Bytes of the longest head that is read.
const HEAD_MAX: usize = 64 << 10;

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects to a server.
    pub(crate) fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to)?;
        Self::accepted(stream)
    }

    /// Takes over a connection that was accepted.
    pub(crate) fn accepted(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(READ) })
    }

    /// Writes a whole message.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a request, reads the response and returns its status.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> io::Result<u16> {
        self.stream.set_read_timeout(Some(PATIENCE))?;
        self.write(request)?;
        let head = self.read_message()?;
        status(&head).ok_or_else(|| io::Error::other("a response without a status"))
    }

    /// Reads a message, keeps its head and throws its body away.
    pub(crate) fn read_message(&mut self) -> io::Result<Vec<u8>> {
        self.buffer.clear();
        let end = loop {
            let searched = self.buffer.len().saturating_sub(3);
            self.read_more()?;
            if let Some(end) = end_of_head(&self.buffer, searched) {
                break end;
            }
            if self.buffer.len() > HEAD_MAX {
                return Err(io::Error::other("a head that does not end"));
            }
        };
        let body = content_length(self.buffer.get(..end).unwrap_or_default());
        let mut missing = body.saturating_sub(self.buffer.len() - end);
        self.buffer.truncate(end);
        let head = std::mem::take(&mut self.buffer);
        let mut sink = [0; READ];
        while missing > 0 {
            let most = missing.min(READ);
            let read = self.stream.read(sink.get_mut(..most).unwrap_or_default())?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            missing -= read;
        }
        self.buffer = Vec::with_capacity(READ);
        Ok(head)
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut bytes = [0; READ];
        let read = self.stream.read(&mut bytes)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.buffer.extend_from_slice(bytes.get(..read).unwrap_or_default());
        Ok(())
    }
}

/// Returns the place behind the empty line that ends a head.
pub(crate) fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    let at = bytes.get(from..)?.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(from + at + 4)
}

/// Returns the length of the body that a head announces; 0 where it announces none. Envoy writes
/// names in lower case.
pub(crate) fn content_length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"\r\ncontent-length: ";
    let Some(at) = head.windows(NAME.len()).position(|bytes| bytes == NAME) else { return 0 };
    let digits = head.get(at + NAME.len()..).unwrap_or_default();
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'))
}

/// Returns the status of a response.
pub(crate) fn status(head: &[u8]) -> Option<u16> {
    let digits = head.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_tells_the_status_and_where_the_body_ends() {
        let bytes = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 123\r\nx: y\r\n\r\nbody";
        let end = end_of_head(bytes, 0).unwrap();
        assert_eq!(&bytes[end..], b"body");
        assert_eq!(content_length(&bytes[..end]), 123);
        assert_eq!(status(bytes), Some(429));
    }
}
