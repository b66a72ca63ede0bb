//! What the launcher and the process of its second guard say to each other: one packet an order, one for each acknowledgement.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    cmsg_space,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, recvmsg, sendmsg,
    },
};

/// What the guard is told. A deadline is a reading of the boot-time clock in nanoseconds; `None`: there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Watch the process whose descriptor comes with it, and no other any more.
    Watch(Option<u64>),
    /// The process may run until then.
    Move(u64),
    /// The process is dead.
    Forget,
}

/// The end of the other side's life.
#[derive(Debug)]
pub(super) struct HungUp;

/// Bytes of an order: what, its number, the deadline.
const ORDER_BYTES: usize = 17;
/// Stands for no deadline.
const NEVER: u64 = u64::MAX;

/// Sends an order; never waits.
pub(super) fn send(line: impl AsFd, number: u64, order: Order, victim: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let (what, deadline) = match order {
        Order::Watch(deadline) => (b'w', deadline.unwrap_or(NEVER)),
        Order::Move(deadline) => (b'm', deadline),
        Order::Forget => (b'f', NEVER),
    };
    let mut packet = Vec::with_capacity(ORDER_BYTES);
    packet.push(what);
    packet.extend(number.to_be_bytes());
    packet.extend(deadline.to_be_bytes());
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let victims: Vec<_> = victim.into_iter().collect();
    if !victims.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&victims)) {
        return Err(io::Error::other("no space for a descriptor"));
    }
    sendmsg(line, &[IoSlice::new(&packet)], &mut control, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The next order that is there, with its number and a process; `None` when there is none now.
pub(super) fn receive(line: impl AsFd) -> Result<Option<(u64, Order, Option<OwnedFd>)>, HungUp> {
    let mut packet = [0; ORDER_BYTES];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = match recvmsg(line, &mut [IoSliceMut::new(&mut packet)], &mut control, flags) {
        Ok(received) => received,
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(None),
        Err(_) => return Err(HungUp),
    };
    if received.bytes != ORDER_BYTES || received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(HungUp);
    }
    let victim = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let (what, number, deadline) = split(&packet).ok_or(HungUp)?;
    let order = match what {
        b'w' => Order::Watch((deadline != NEVER).then_some(deadline)),
        b'm' => Order::Move(deadline),
        b'f' => Order::Forget,
        _ => return Err(HungUp),
    };
    Ok(Some((number, order, victim)))
}

fn split(packet: &[u8]) -> Option<(u8, u64, u64)> {
    let (what, rest) = packet.split_first()?;
    let (number, deadline) = rest.split_first_chunk()?;
    Some((*what, u64::from_be_bytes(*number), u64::from_be_bytes(deadline.try_into().ok()?)))
}

/// Acknowledges an order; never waits. What cannot be acknowledged makes the launcher start another guard.
pub(super) fn acknowledge(line: impl AsFd, number: u64) {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let _ = rustix::net::send(line, &number.to_be_bytes(), flags);
}

/// Waits for an acknowledgement, as long as the socket is set to wait; `None` when none came.
pub(super) fn acknowledged(line: impl AsFd) -> Result<Option<u64>, HungUp> {
    let mut packet = [0; 8];
    match rustix::net::recv(line, &mut packet, RecvFlags::empty()) {
        Ok((8, _)) => Ok(Some(u64::from_be_bytes(packet))),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
        _ => Err(HungUp),
    }
}
