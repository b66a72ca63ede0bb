//! Messages over TCP.

use std::{
    io::{Error, ErrorKind},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, SinkExt, StreamExt};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream, lookup_host},
    time::timeout,
};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::SidecarError;
use crate::replication::{
    Message,
    frame::{Frame, MAX_FRAME_BYTES},
};

/// How long a connection may take to come about. Members are in one cluster; a longer wait only hides a dead node.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, SidecarError> {
    TcpListener::bind(address).await.map_err(|source| SidecarError::Listen { address: address.to_string(), source })
}

/// A connection with another member.
#[derive(Debug)]
pub(super) struct Link {
    peer: String,
    framed: Framed<TcpStream, LengthDelimitedCodec>,
}

impl Link {
    /// Connects from this member's own address, by which the other one knows it; `from` may be the wildcard.
    pub(super) async fn connect(peer: &str, address: &str, from: IpAddr) -> Result<Self, SidecarError> {
        let failed = |source| SidecarError::Link { peer: format!("{peer} ({address})"), source };
        let stream = timeout(CONNECT_TIMEOUT, open(address, from))
            .await
            .map_err(|_| failed(std::io::ErrorKind::TimedOut.into()))?
            .map_err(failed)?;
        Self::over(peer, stream).map_err(failed)
    }

    pub(super) fn over(peer: &str, stream: TcpStream) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        let codec = LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME_BYTES).new_codec();
        Ok(Self { peer: peer.to_owned(), framed: Framed::new(stream, codec) })
    }

    pub(super) fn rename_peer(&mut self, peer: &str) {
        peer.clone_into(&mut self.peer);
    }

    pub(super) async fn send(&mut self, epoch: i64, message: Message) -> Result<(), SidecarError> {
        let frame = message.into_frame(epoch).encode();
        self.framed.send(frame).await.map_err(|source| SidecarError::Link { peer: self.peer.clone(), source })
    }

    /// The next message and the epoch of its sender.
    pub(super) async fn receive(&mut self) -> Result<(i64, Message), SidecarError> {
        let bytes = self.framed.next().await;
        self.read(bytes)
    }

    /// The next message if it has already arrived.
    pub(super) fn receive_now(&mut self) -> Option<Result<(i64, Message), SidecarError>> {
        let bytes = self.framed.next().now_or_never()?;
        Some(self.read(bytes))
    }

    fn read(&self, bytes: Option<std::io::Result<bytes::BytesMut>>) -> Result<(i64, Message), SidecarError> {
        let link = |source| SidecarError::Link { peer: self.peer.clone(), source };
        let bytes: Bytes =
            bytes.unwrap_or_else(|| Err(std::io::ErrorKind::UnexpectedEof.into())).map_err(link)?.freeze();
        let frame = Frame::decode(bytes).map_err(|source| SidecarError::Frame { peer: self.peer.clone(), source })?;
        let epoch = frame.epoch;
        let message =
            Message::from_frame(frame).map_err(|source| SidecarError::Message { peer: self.peer.clone(), source })?;
        Ok((epoch, message))
    }

    /// The error for a message that came out of turn.
    pub(super) fn out_of_turn(&self, got: &Message, wanted: &'static str) -> SidecarError {
        let mut got = format!("{got:?}");
        got.truncate(80);
        SidecarError::OutOfTurn { peer: self.peer.clone(), got, wanted }
    }
}

async fn open(address: &str, from: IpAddr) -> std::io::Result<TcpStream> {
    let mut last = Error::new(ErrorKind::NotFound, "the name has no address");
    for to in lookup_host(address).await? {
        if from.is_unspecified() {
            match TcpStream::connect(to).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        } else if from.is_ipv4() == to.is_ipv4() {
            let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.bind(SocketAddr::new(from, 0))?;
            match socket.connect(to).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
    }
    Err(last)
}
