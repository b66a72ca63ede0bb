//! A walker over the fields of an encoded protobuf message.
//!
//! `prost` drops the fields that its messages do not name. Where bytes must go on unchanged (entries on
//! their way to a standby, the header that a new segment inherits) the message is cut into its fields
//! instead, and each is kept as it was written.

use bytes::{Buf, Bytes};

/// Why bytes are not a protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A varint or a field goes past the end of the message.
    #[error("a field goes past the end of its message")]
    Truncated,
    /// A varint longer than ten bytes, field number 0, or one above the limit.
    #[error("a field has an invalid number or length")]
    Invalid,
    /// A group or an undefined wire type.
    #[error("a field has the unsupported wire type {0}")]
    WireType(u64),
}

/// The value of a field, as far as the wire type tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Varint(u64),
    Fixed,
    Bytes(Bytes),
}

/// One field of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) number: u64,
    pub(super) value: Value,
    /// Tag, length and value, exactly as they were written.
    pub(super) whole: Bytes,
}

/// Iterates over a message's fields; stops after the first error.
pub(super) struct Fields {
    rest: Bytes,
}

impl Fields {
    pub(super) fn new(message: Bytes) -> Self {
        Self { rest: message }
    }

    fn read(&mut self) -> Result<Field, WireError> {
        let mut whole = self.rest.clone();
        let tag = take_varint(&mut self.rest)?;
        let number = tag >> 3;
        // 2^29 - 1 is protobuf's largest field number.
        if number == 0 || number > 0x1fff_ffff {
            return Err(WireError::Invalid);
        }
        let value = match tag & 7 {
            0 => Value::Varint(take_varint(&mut self.rest)?),
            1 => take(&mut self.rest, 8).map(|_| Value::Fixed)?,
            2 => {
                let length = take_varint(&mut self.rest)?;
                let length = usize::try_from(length).map_err(|_| WireError::Truncated)?;
                Value::Bytes(take(&mut self.rest, length)?)
            }
            5 => take(&mut self.rest, 4).map(|_| Value::Fixed)?,
            other => return Err(WireError::WireType(other)),
        };
        whole.truncate(whole.len().saturating_sub(self.rest.len()));
        Ok(Field { number, value, whole })
    }
}

impl Iterator for Fields {
    type Item = Result<Field, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest.clear();
        }
        Some(field)
    }
}

/// Cuts `length` bytes off the front.
fn take(rest: &mut Bytes, length: usize) -> Result<Bytes, WireError> {
    if length > rest.len() {
        return Err(WireError::Truncated);
    }
    Ok(rest.split_to(length))
}

fn take_varint(rest: &mut Bytes) -> Result<u64, WireError> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = rest.try_get_u8().map_err(|_| WireError::Truncated)?;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte holds only the top bit of 64.
        if shift == 63 && bits > 1 {
            return Err(WireError::Invalid);
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(WireError::Invalid)
}

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or(0);
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Appends a varint field.
pub(crate) fn put_varint_field(out: &mut Vec<u8>, number: u64, value: u64) {
    put_varint(out, number << 3);
    put_varint(out, value);
}

/// A message without the fields of these numbers; all others stay byte for byte.
///
/// # Errors
/// If the bytes are no message.
pub fn without_fields(message: &Bytes, numbers: &[u64]) -> Result<Bytes, WireError> {
    let mut kept = Vec::with_capacity(message.len());
    for field in Fields::new(message.clone()) {
        let field = field?;
        if !numbers.contains(&field.number) {
            kept.extend_from_slice(&field.whole);
        }
    }
    Ok(kept.into())
}

/// A message whose field `number`, of bytes, holds `value` and nothing else; all other fields stay byte for byte.
///
/// # Errors
/// If the bytes are no message.
pub fn with_bytes_field(message: &Bytes, number: u64, value: &[u8]) -> Result<Bytes, WireError> {
    let mut changed = without_fields(message, &[number])?.to_vec();
    put_varint(&mut changed, number << 3 | 2);
    put_varint(&mut changed, u64::try_from(value.len()).unwrap_or(u64::MAX));
    changed.extend_from_slice(value);
    Ok(changed.into())
}

/// The last field of bytes of this number, which is the one that counts.
///
/// # Errors
/// If the bytes are no message.
pub fn bytes_field(message: &Bytes, number: u64) -> Result<Option<Bytes>, WireError> {
    let mut found = None;
    for field in Fields::new(message.clone()) {
        match field? {
            Field { number: this, value: Value::Bytes(bytes), .. } if this == number => found = Some(bytes),
            _ => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_left_out_and_replaced() {
        let bytes = Bytes::from_static(&[0x08, 7, 0x12, 2, b'h', b'i', 0x1a, 1, b'x']);
        assert_eq!(without_fields(&bytes, &[1, 3]).unwrap(), Bytes::from_static(&[0x12, 2, b'h', b'i']));
        let changed = with_bytes_field(&bytes, 2, b"you").unwrap();
        assert_eq!(bytes_field(&changed, 2).unwrap(), Some(Bytes::from_static(b"you")));
        assert_eq!(without_fields(&changed, &[2]).unwrap(), without_fields(&bytes, &[2]).unwrap());
        assert!(without_fields(&Bytes::from_static(&[0x12, 9]), &[1]).is_err());
    }

    #[test]
    fn keeps_each_field_as_it_was_written() {
        // Field 1 varint 150 (written with a needless byte), field 2 "hi", field 3 fixed32, field 4 fixed64.
        let bytes = Bytes::from_static(&[
            0x08, 0x96, 0x81, 0x00, 0x12, 2, b'h', b'i', 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8,
        ]);
        let fields: Vec<_> = Fields::new(bytes.clone()).map(Result::unwrap).collect();
        assert_eq!(fields.iter().map(|field| field.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(fields[0].value, Value::Varint(150));
        assert_eq!(fields[1].value, Value::Bytes(Bytes::from_static(b"hi")));
        let again: Vec<u8> = fields.iter().flat_map(|field| field.whole.to_vec()).collect();
        assert_eq!(again, bytes);
    }

    #[test]
    fn refuses_what_is_not_a_message() {
        for (bytes, error) in [
            (&[0x08_u8][..], WireError::Truncated),
            (&[0x12, 5, 1], WireError::Truncated),
            (&[0x00, 0x00], WireError::Invalid),
            (&[0x0b], WireError::WireType(3)),
            (&[0xff; 11], WireError::Invalid),
        ] {
            let mut fields = Fields::new(Bytes::from_static(bytes));
            assert_eq!(fields.next(), Some(Err(error)));
            assert_eq!(fields.next(), None);
        }
    }
}
