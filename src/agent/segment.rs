//! The segment that makes a client's kernel speak.
//!
//! A bare SYN-ACK, as if from the Service. To a connection that is open, a SYN is always wrong, so its kernel answers with an ACK
//! of what it really has (RFC 5961, section 4) and changes nothing. That ACK passes the node like any other segment: to the new
//! active, which answers RST with exactly the number that the client expects.
//!
//! Why a SYN-ACK, of all that a kernel answers: connection tracking takes no flow from one (there is none that begins so), so
//! that the answer is not taken for the answer of such a flow, and is sent by the proxy's rules.

use std::net::{IpAddr, SocketAddr};

const SEGMENT_BYTES: u16 = 20;
const TCP: u8 = 6;
const HOPS: u8 = 64;
const SYN_ACK: u8 = 0x12;

/// The whole packet, with the IP header; nothing when the two are of different families.
pub fn syn_ack(from: SocketAddr, to: SocketAddr) -> Option<Vec<u8>> {
    let (mut packet, sum) = match (from.ip(), to.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            // Version and length of the header; the kernel fills in number and checksum.
            let mut packet = vec![0x45, 0];
            packet.extend((SEGMENT_BYTES + 20).to_be_bytes());
            packet.extend([0, 0, 0, 0, HOPS, TCP, 0, 0]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
            (packet, sum(&source.octets()) + sum(&destination.octets()))
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut packet = vec![0x60, 0, 0, 0];
            packet.extend(SEGMENT_BYTES.to_be_bytes());
            packet.extend([TCP, HOPS]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
            (packet, sum(&source.octets()) + sum(&destination.octets()))
        }
        _ => return None,
    };
    let segment = segment(from.port(), to.port(), 0);
    let sum = sum + u32::from(TCP) + u32::from(SEGMENT_BYTES) + self::sum(&segment);
    packet.extend(self::segment(from.port(), to.port(), checksum(sum)));
    Some(packet)
}

/// No sequence number, no window, nothing but the flags.
fn segment(from: u16, to: u16, checksum: u16) -> Vec<u8> {
    let mut segment = Vec::with_capacity(SEGMENT_BYTES.into());
    segment.extend(from.to_be_bytes());
    segment.extend(to.to_be_bytes());
    segment.extend([0; 8]);
    // Length of the header in words of four bytes.
    segment.extend([5 << 4, SYN_ACK]);
    segment.extend([0; 2]);
    segment.extend(checksum.to_be_bytes());
    segment.extend([0; 2]);
    segment
}

fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from)).sum()
}

fn checksum(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums the way a receiver does: everything with the checksum in it makes 0.
    fn is_whole(packet: &[u8], addresses: usize, header: usize) -> bool {
        let (addresses, segment) = (&packet[addresses..header], &packet[header..]);
        checksum(sum(addresses) + u32::from(TCP) + u32::from(SEGMENT_BYTES) + sum(segment)) == 0
    }

    #[test]
    fn a_receiver_finds_nothing_wrong() {
        let packet = syn_ack("10.82.7.9:7051".parse().unwrap(), "10.81.1.250:65535".parse().unwrap()).unwrap();
        assert_eq!(packet.len(), 40);
        assert_eq!(packet[..10], [0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6]);
        assert_eq!(packet[12..24], [10, 82, 7, 9, 10, 81, 1, 250, 0x1b, 0x8b, 0xff, 0xff]);
        assert_eq!(packet[24..34], [0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x12]);
        assert!(is_whole(&packet, 12, 20));

        let packet = syn_ack("[fd00::1]:7051".parse().unwrap(), "[fd00:1::ffff]:40000".parse().unwrap()).unwrap();
        assert_eq!(packet.len(), 60);
        assert_eq!(packet[..8], [0x60, 0, 0, 0, 0, 20, 6, 64]);
        assert!(is_whole(&packet, 8, 40));
    }

    #[test]
    fn there_is_none_between_families() {
        assert_eq!(syn_ack("10.82.7.9:7051".parse().unwrap(), "[fd00::1]:4".parse().unwrap()), None);
    }
}
