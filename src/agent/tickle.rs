//! Sends the segment that makes a client's kernel speak. Needs `CAP_NET_RAW` in the node's network namespace.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
};

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with};

use super::{plan::Tickle, segment};

/// Tickles a client.
///
/// # Errors
/// Without the right to, or when the client cannot be reached from here.
pub fn tickle(tickle: Tickle) -> io::Result<()> {
    let packet = segment::syn_ack(tickle.from, tickle.to).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the Service and its client are of different families")
    })?;
    let socket = open(tickle.to.ip())?;
    // The port is in the packet; here it would be a protocol.
    sendto(&socket, &packet, SendFlags::empty(), &SocketAddr::new(tickle.to.ip(), 0))?;
    Ok(())
}

/// A socket for whole packets to such addresses, which nothing is received on.
///
/// # Errors
/// Without the right to have one.
pub fn open(to: IpAddr) -> io::Result<OwnedFd> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    Ok(socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, Some(ipproto::RAW))?)
}
