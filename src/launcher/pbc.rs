//! Reads Kudu's protobuf containers, the form of its small metadata files. Pure.
//!
//! `kuducntr`, u32 LE version, in version 2 the CRC32C of both; then records, each: u32 LE length, in version 2 the CRC32C of that
//! length, the bytes, the CRC32C of the bytes. The first record describes the others, the second is the message.

/// Why a file is not a container that can be read.
#[derive(thiserror::Error, Debug, PartialEq, Eq)]
pub enum PbcError {
    /// It begins with something else.
    #[error(
        "it does not begin as one of Kudu's metadata files (perhaps it is encrypted at rest, which is not supported)"
    )]
    Magic,
    /// A version that is not known.
    #[error("its container version is {0}; versions 1 and 2 are known")]
    Version(u32),
    /// It ends too early.
    #[error("it ends in the middle of a record")]
    Short,
    /// A checksum does not fit.
    #[error("a checksum does not fit: it is damaged")]
    Checksum,
}

const MAGIC: &[u8] = b"kuducntr";

/// The first message of a container.
pub fn first_message(file: &[u8]) -> Result<&[u8], PbcError> {
    let rest = file.strip_prefix(MAGIC).ok_or(PbcError::Magic)?;
    let (version, mut rest) = take_u32(rest)?;
    if !(1..=2).contains(&version) {
        return Err(PbcError::Version(version));
    }
    if version >= 2 {
        let (sum, after) = take_u32(rest)?;
        check(sum, &file[..MAGIC.len() + 4])?;
        rest = after;
    }
    let (_description, rest) = record(rest, version)?;
    Ok(record(rest, version)?.0)
}

fn record(bytes: &[u8], version: u32) -> Result<(&[u8], &[u8]), PbcError> {
    let (length, mut rest) = take_u32(bytes)?;
    if version >= 2 {
        let (sum, after) = take_u32(rest)?;
        check(sum, &length.to_le_bytes())?;
        rest = after;
    }
    let length = usize::try_from(length).map_err(|_| PbcError::Short)?;
    let (body, rest) = rest.split_at_checked(length).ok_or(PbcError::Short)?;
    let (sum, rest) = take_u32(rest)?;
    check(sum, body)?;
    Ok((body, rest))
}

fn take_u32(bytes: &[u8]) -> Result<(u32, &[u8]), PbcError> {
    let (number, rest) = bytes.split_first_chunk::<4>().ok_or(PbcError::Short)?;
    Ok((u32::from_le_bytes(*number), rest))
}

fn check(sum: u32, bytes: &[u8]) -> Result<(), PbcError> {
    if crc32c::crc32c(bytes) == sum { Ok(()) } else { Err(PbcError::Checksum) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(message: &[u8]) -> Vec<u8> {
        let mut file = [MAGIC, &2_u32.to_le_bytes()].concat();
        file.extend(crc32c::crc32c(&file).to_le_bytes());
        for record in [b"description".as_slice(), message] {
            let length = (record.len() as u32).to_le_bytes();
            file.extend(length);
            file.extend(crc32c::crc32c(&length).to_le_bytes());
            file.extend(record);
            file.extend(crc32c::crc32c(record).to_le_bytes());
        }
        file
    }

    #[test]
    fn the_message_is_found() {
        assert_eq!(first_message(&container(b"message")), Ok(b"message".as_slice()));
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let file = container(b"message");
        for end in 0..file.len() {
            assert!(first_message(&file[..end]).is_err(), "cut at {end}");
        }
        for at in 0..file.len() {
            let mut broken = file.clone();
            broken[at] ^= 1;
            assert!(first_message(&broken).is_err(), "flipped at {at}");
        }
    }
}
