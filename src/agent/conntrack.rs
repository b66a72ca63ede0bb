//! The flows that this node's kernel tracks. Needs `CAP_NET_ADMIN` in the node's network namespace.

use std::{io, net::SocketAddr, os::fd::OwnedFd, time::Duration};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind,
        netlink::{self, SocketAddrNetlink},
        recv, sendto, socket_with,
        sockopt::{Timeout, set_socket_timeout},
    },
};

use super::{
    ctnetlink::{self, Answer, FlowId},
    plan::Flow,
};

/// A kernel answers at once; this only keeps an agent from hanging with it.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A kernel sends at most 32 KiB at a time.
const DATAGRAM_BYTES: usize = 64 * 1024;

/// A connection to the kernel's tracking of flows.
#[derive(Debug)]
pub struct Conntrack {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Conntrack {
    /// Opens one, in the network namespace of this thread.
    ///
    /// # Errors
    /// When the kernel has no netfilter.
    pub fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::NETFILTER))?;
        bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_WITHIN))?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; DATAGRAM_BYTES] })
    }

    /// All TCP flows that were opened to this address.
    ///
    /// # Errors
    /// Without the right to see them, or when the kernel does not answer.
    pub fn flows(&mut self, opened_to: SocketAddr) -> io::Result<Vec<Flow>> {
        let mut flows = match self.list(opened_to, true) {
            Err(error) if [Errno::INVAL, Errno::OPNOTSUPP].contains(&errno(&error)) => self.list(opened_to, false)?,
            other => other?,
        };
        flows.retain(|flow| flow.address == opened_to);
        Ok(flows)
    }

    /// Forgets a flow. `false` when it is gone already.
    ///
    /// # Errors
    /// Without the right to, or when the kernel does not answer.
    pub fn delete(&mut self, flow: &FlowId) -> io::Result<bool> {
        let sequence = self.next();
        self.send(&ctnetlink::delete(flow, sequence))?;
        loop {
            for answer in self.answers(sequence)? {
                match answer {
                    Answer::Result(0) => return Ok(true),
                    Answer::Result(code) if Errno::from_raw_os_error(code) == Errno::NOENT => return Ok(false),
                    Answer::Result(code) => return Err(io::Error::from_raw_os_error(code)),
                    Answer::Flow(_) | Answer::Other | Answer::Done => {}
                }
            }
        }
    }

    fn list(&mut self, opened_to: SocketAddr, filtered: bool) -> io::Result<Vec<Flow>> {
        let sequence = self.next();
        self.send(&ctnetlink::list(opened_to, filtered, sequence))?;
        let mut flows = Vec::new();
        loop {
            for answer in self.answers(sequence)? {
                match answer {
                    Answer::Flow(flow) => flows.push(flow),
                    Answer::Done => return Ok(flows),
                    Answer::Result(0) | Answer::Other => {}
                    Answer::Result(code) => return Err(io::Error::from_raw_os_error(code)),
                }
            }
        }
    }

    fn next(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    fn send(&self, request: &[u8]) -> io::Result<()> {
        // Port 0 is the kernel.
        sendto(&self.socket, request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        Ok(())
    }

    fn answers(&mut self, sequence: u32) -> io::Result<Vec<Answer>> {
        let (_, length) = recv(&self.socket, &mut self.buffer[..], RecvFlags::TRUNC)?;
        let datagram = self.buffer.get(..length);
        datagram.and_then(|datagram| ctnetlink::read(datagram, sequence)).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("an answer of the kernel ({length} bytes) cannot be read"),
            )
        })
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
