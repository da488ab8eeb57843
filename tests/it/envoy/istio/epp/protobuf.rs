//! As much of protobuf as external processing needs: messages of fields that are bytes or numbers.

/// Kind of a field on the wire that has a length: bytes, a text or a message.
const WITH_LENGTH: u64 = 2;

/// A message that is put together.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// Adds a field of bytes.
    pub(super) fn bytes(mut self, field: u64, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        self.varint(field << 3 | WITH_LENGTH);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// Adds a message as a field.
    pub(super) fn message(self, field: u64, value: Self) -> Self {
        self.bytes(field, value.0)
    }

    /// Adds a number.
    pub(super) fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    /// Returns the bytes.
    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}

/// A field of a message that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Bytes(u64, &'a [u8]),
    Number(u64, u64),
}

/// Returns the fields of a message up to its end, or to where it is none.
pub(super) fn fields(mut message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    std::iter::from_fn(move || {
        let key = varint(&mut message)?;
        match key & 7 {
            0 => Some(Field::Number(key >> 3, varint(&mut message)?)),
            WITH_LENGTH => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let (value, rest) = message.split_at_checked(length)?;
                message = rest;
                Some(Field::Bytes(key >> 3, value))
            }
            _ => None,
        }
    })
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Field, Message, fields};

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let inner = Message::default().bytes(1, "key").number(2, 300);
        let written = Message::default().message(8, inner).bytes(16, [7; 200]).finish();
        let read: Vec<_> = fields(&written).collect();
        let inner = Message::default().bytes(1, "key").number(2, 300).finish();
        assert_eq!(read, [Field::Bytes(8, &inner), Field::Bytes(16, &[7; 200])]);
        let inner: Vec<_> = fields(&inner).collect();
        assert_eq!(inner, [Field::Bytes(1, b"key"), Field::Number(2, 300)]);
    }

    #[test]
    fn what_is_cut_off_ends_the_fields() {
        let written = Message::default().number(1, 1).bytes(2, "text").finish();
        for length in 0..written.len() {
            assert!(fields(&written[..length]).count() < 2, "{length}");
        }
    }
}
