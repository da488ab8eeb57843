//! Numbers and addresses as text, without `format!`: its machinery took a fifth of the instructions
//! that a short request cost in this filter.

use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr},
};

/// Text that is written by appending numbers and addresses, of which each request writes a dozen.
pub(crate) trait FastFormat {
    /// Appends a whole number.
    fn push_number(&mut self, number: u64);

    /// Appends a number with two places.
    fn push_hundredths(&mut self, number: f64);

    /// Appends `IP:PORT`.
    fn push_address(&mut self, address: SocketAddr);

    /// Appends sixteen hexadecimal digits.
    fn push_hexadecimal(&mut self, number: u64);
}

impl FastFormat for String {
    fn push_number(&mut self, number: u64) {
        self.push_str(itoa::Buffer::new().format(number));
    }

    fn push_hundredths(&mut self, number: f64) {
        /// Largest number with exact hundredths; no configuration gives a score beyond it.
        const EXACT_MAX: f64 = 1e9;
        if !(0.0..EXACT_MAX).contains(&number) {
            // Writing to a String cannot fail.
            let _ = write!(self, "{number:.2}");
            return;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between zero and a hundred times the limit"
        )]
        let hundredths = (number * 100.0).round() as u64;
        self.push_number(hundredths / 100);
        self.push('.');
        for digit in [hundredths / 10 % 10, hundredths % 10] {
            self.push_number(digit);
        }
    }

    fn push_address(&mut self, address: SocketAddr) {
        let IpAddr::V4(ip) = address.ip() else {
            let _ = write!(self, "{address}");
            return;
        };
        let mut text = AddressText::default();
        for (octet, mark) in ip.octets().into_iter().zip(*b"...:") {
            text.push_number(octet.into());
            text.push(mark);
        }
        text.push_number(address.port());
        self.push_str(text.as_str());
    }

    fn push_hexadecimal(&mut self, number: u64) {
        for nibble in (0..16).rev().map(|place| number >> (4 * place) & 15) {
            let digit = u32::try_from(nibble).ok().and_then(|nibble| char::from_digit(nibble, 16));
            self.extend(digit);
        }
    }
}

/// The text of an IPv4 address with its port, appended to a string in one piece.
#[derive(Default)]
struct AddressText {
    bytes: [u8; Self::LENGTH_MAX],
    length: usize,
}

impl AddressText {
    /// Bytes of the longest, `255.255.255.255:65535`.
    const LENGTH_MAX: usize = 21;

    #[inline]
    fn push(&mut self, byte: u8) {
        if let Some(end) = self.bytes.get_mut(self.length) {
            *end = byte;
            self.length += 1;
        }
    }

    /// Appends a number without leading zeros.
    #[inline]
    fn push_number(&mut self, number: u16) {
        for place in [10_000, 1_000, 100, 10, 1] {
            if number >= place || place == 1 {
                // One digit is below ten.
                self.push(b'0' + (number / place % 10).to_le_bytes()[0]);
            }
        }
    }

    fn as_str(&self) -> &str {
        let text = self.bytes.get(..self.length).and_then(|text| std::str::from_utf8(text).ok());
        text.unwrap_or_default()
    }
}
