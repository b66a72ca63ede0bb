//! The messages by which a kernel tells of the flows that it tracks, and is told to forget one (ctnetlink).
//!
//! A request or an answer is a header of 16 bytes, four bytes about the family of addresses, then attributes: length and kind in
//! two bytes each, a value, filled up to four bytes. Numbers are in the machine's order, except ports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::plan::Flow;

const HEADER: usize = 16;
const FAMILY_HEADER: usize = 4;

const CONNTRACK: u16 = 1 << 8;
const NEW: u16 = CONNTRACK;
const GET: u16 = CONNTRACK | 1;
const DELETE: u16 = CONNTRACK | 2;
const ERROR: u16 = 2;
const DONE: u16 = 3;

const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const DUMP: u16 = 0x300;

const NESTED: u16 = 1 << 15;
const KIND: u16 = 0x3fff;

const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const PROTOCOL_INFO: u16 = 4;
const ID: u16 = 12;
const ZONE: u16 = 18;
const FILTER: u16 = 25;

const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const IP4_SOURCE: u16 = 1;
const IP4_DESTINATION: u16 = 2;
const IP6_SOURCE: u16 = 3;
const IP6_DESTINATION: u16 = 4;
const PROTOCOL_NUMBER: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;
const INFO_TCP: u16 = 1;
const TCP_STATE: u16 = 1;

const FILTER_ORIG: u16 = 1;
const FILTER_REPLY: u16 = 2;
/// By destination.
const FILTER_ADDRESS: u32 = 1 << 1;
/// By protocol and destination port.
const FILTER_PORT: u32 = 1 << 3 | 1 << 5;

const TCP: u8 = 6;
const TCP_ESTABLISHED: u8 = 3;
const INET: u8 = 2;
const INET6: u8 = 10;

/// What names one flow to the kernel: it, and no later one between the same ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowId {
    family: u8,
    original: Vec<u8>,
    zone: Option<Vec<u8>>,
    id: Vec<u8>,
}

impl FlowId {
    /// For tests of what is decided about flows: no kernel knows it.
    pub fn fictitious(number: u32) -> Self {
        Self { family: INET, original: Vec::new(), zone: None, id: number.to_be_bytes().to_vec() }
    }
}

/// One message of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A TCP flow.
    Flow(Flow),
    /// Something else: a flow of another protocol, a notice.
    Other,
    /// The end of a list.
    Done,
    /// The result of a request: 0, or the error's number.
    Result(i32),
}

/// Asks for the flows that were opened to this address. Others may be among the answers: a kernel before 5.8 does not filter.
pub(super) fn list(to: SocketAddr, filtered: bool, sequence: u32) -> Vec<u8> {
    let mut message = begin(GET, REQUEST | DUMP, sequence, family(to));
    if filtered {
        let mut tuple = Vec::new();
        // The kernel takes an IPv6 address for the opposite: it would leave out the very flows that are asked for.
        let by = match to.ip() {
            IpAddr::V4(ip) => {
                let mut address = Vec::new();
                attribute(&mut address, IP4_DESTINATION, &ip.octets());
                attribute(&mut tuple, TUPLE_IP | NESTED, &address);
                FILTER_PORT | FILTER_ADDRESS
            }
            IpAddr::V6(_) => FILTER_PORT,
        };
        let mut protocol = Vec::new();
        attribute(&mut protocol, PROTOCOL_NUMBER, &[TCP]);
        attribute(&mut protocol, DESTINATION_PORT, &to.port().to_be_bytes());
        attribute(&mut tuple, TUPLE_PROTOCOL | NESTED, &protocol);
        attribute(&mut message, TUPLE_ORIG | NESTED, &tuple);
        let mut filter = Vec::new();
        attribute(&mut filter, FILTER_ORIG, &by.to_ne_bytes());
        attribute(&mut filter, FILTER_REPLY, &0_u32.to_ne_bytes());
        attribute(&mut message, FILTER | NESTED, &filter);
    }
    end(message)
}

/// Asks to forget one flow. It names that flow by ends and number; a request without would mean all flows of the node, which
/// is why it takes nothing but a [`FlowId`].
pub(super) fn delete(flow: &FlowId, sequence: u32) -> Vec<u8> {
    let mut message = begin(DELETE, REQUEST | ACKNOWLEDGE, sequence, flow.family);
    attribute(&mut message, TUPLE_ORIG | NESTED, &flow.original);
    if let Some(zone) = &flow.zone {
        attribute(&mut message, ZONE, zone);
    }
    attribute(&mut message, ID, &flow.id);
    end(message)
}

/// Reads what the kernel answered to one request; answers to other requests are left out. Nothing when it cannot be read.
pub(super) fn read(mut datagram: &[u8], sequence: u32) -> Option<Vec<Answer>> {
    let mut answers = Vec::new();
    while !datagram.is_empty() {
        let length = usize::try_from(u32::from_ne_bytes(*datagram.first_chunk()?)).ok()?;
        let message = datagram.get(..length)?;
        let kind = u16::from_ne_bytes(*message.get(4..)?.first_chunk()?);
        let answers_to = u32::from_ne_bytes(*message.get(8..)?.first_chunk()?);
        let body = message.get(HEADER..)?;
        if answers_to == sequence {
            answers.push(match kind {
                NEW => read_flow(body).map_or(Answer::Other, Answer::Flow),
                DONE => Answer::Done,
                ERROR => Answer::Result(i32::from_ne_bytes(*body.first_chunk()?).saturating_neg()),
                _ => Answer::Other,
            });
        }
        datagram = datagram.get(padded(length)..).unwrap_or_default();
    }
    Some(answers)
}

fn read_flow(body: &[u8]) -> Option<Flow> {
    let family = *body.first()?;
    let attributes = body.get(FAMILY_HEADER..)?;
    let original = find(attributes, TUPLE_ORIG)?;
    let (client, address) = read_tuple(original)?;
    let (server, _) = read_tuple(find(attributes, TUPLE_REPLY)?)?;
    let state =
        find(attributes, PROTOCOL_INFO).and_then(|info| find(find(info, INFO_TCP)?, TCP_STATE)?.first().copied());
    let id = FlowId {
        family,
        original: original.to_vec(),
        zone: find(attributes, ZONE).map(<[u8]>::to_vec),
        id: find(attributes, ID)?.to_vec(),
    };
    Some(Flow { id, client, address, server, established: state == Some(TCP_ESTABLISHED) })
}

/// Source and destination, of TCP alone.
fn read_tuple(tuple: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (addresses, protocol) = (find(tuple, TUPLE_IP)?, find(tuple, TUPLE_PROTOCOL)?);
    if find(protocol, PROTOCOL_NUMBER)? != [TCP] {
        return None;
    }
    let ip = |ip4: u16, ip6: u16| {
        find(addresses, ip4)
            .and_then(|ip| Some(IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(ip).ok()?))))
            .or_else(|| Some(IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(find(addresses, ip6)?).ok()?))))
    };
    let port = |kind: u16| Some(u16::from_be_bytes(find(protocol, kind)?.try_into().ok()?));
    Some((
        SocketAddr::new(ip(IP4_SOURCE, IP6_SOURCE)?, port(SOURCE_PORT)?),
        SocketAddr::new(ip(IP4_DESTINATION, IP6_DESTINATION)?, port(DESTINATION_PORT)?),
    ))
}

/// The value of the first attribute of a kind.
fn find(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(*attributes.first_chunk()?));
        let kind = u16::from_ne_bytes(*attributes.get(2..)?.first_chunk()?) & KIND;
        let value = attributes.get(4..length)?;
        if kind == wanted {
            return Some(value);
        }
        attributes = attributes.get(padded(length)..)?;
    }
}

fn begin(kind: u16, flags: u16, sequence: u32, family: u8) -> Vec<u8> {
    let mut message = vec![0; 4];
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]);
    message.extend([family, 0, 0, 0]);
    message
}

/// Writes the length, which comes first and is known last.
fn end(mut message: Vec<u8>) -> Vec<u8> {
    // A request has a few hundred bytes at most.
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    message.splice(..4, length.to_ne_bytes());
    message
}

fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    // A request has a few hundred bytes at most.
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
    message.resize(padded(message.len()), 0);
}

fn family(address: SocketAddr) -> u8 {
    if address.is_ipv4() { INET } else { INET6 }
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

#[cfg(test)]
mod tests;
