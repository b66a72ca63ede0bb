//! Messages over TCP, encrypted unless somebody asked for plain text.

use std::{
    io::{Error, ErrorKind},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsStream;
use tokio_util::{
    codec::{Framed, LengthDelimitedCodec},
    either::Either,
};

use super::{
    SidecarError,
    coordinator::Addresses,
    security::{LinkSecurity, Mode},
    tls,
};
use crate::{
    pki::CertificateFacts,
    replication::{
        Message,
        frame::{Frame, MAX_FRAME_BYTES},
        message::Answer,
    },
};

/// How long a connection may take to come about. Members are in one cluster; a longer wait only hides a dead node.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the other side may take to show its certificate.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a peer that is refused may take to read why.
const PARTING_TIMEOUT: Duration = Duration::from_secs(1);
/// First byte of every TLS connection. A frame never begins with it: it would be longer than a frame may be.
const TLS_HANDSHAKE: u8 = 0x16;

pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, SidecarError> {
    TcpListener::bind(address).await.map_err(|source| SidecarError::Listen { address: address.to_string(), source })
}

/// A connection with another member.
///
/// An encrypted one is with somebody who showed a certificate of the pair's authority: who dials has checked that it names the
/// member that was dialled, who is dialled checks with [`Link::impostor`] once the other has said who it is.
#[derive(Debug)]
pub(super) struct Link {
    peer: String,
    framed: Framed<Stream, LengthDelimitedCodec>,
    security: LinkSecurity,
}

type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

impl Link {
    /// Connects from this member's own address, by which the other one knows it; `from` may be the wildcard.
    pub(super) async fn connect(
        peer: &str,
        to: &Addresses,
        from: IpAddr,
        security: LinkSecurity,
    ) -> Result<Self, SidecarError> {
        let failed = |source| SidecarError::Link { peer: format!("{peer} ({})", to.link), source };
        let mode = security.now();
        if let Mode::Waiting(why) = mode {
            return Err(failed(Error::other(why)));
        }
        let stream = timeout(CONNECT_TIMEOUT, open(&to.link, from))
            .await
            .map_err(|_| failed(ErrorKind::TimedOut.into()))?
            .map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let stream = match mode {
            Mode::Tls(credentials) => {
                let name = to.certificate_name.clone().map_err(|why| failed(Error::other(why)))?;
                let name = ServerName::try_from(name).map_err(|error| failed(Error::other(error)))?;
                let shaken = timeout(HANDSHAKE_TIMEOUT, credentials.connector.connect(name, stream)).await;
                let stream = shaken.map_err(|_| failed(ErrorKind::TimedOut.into()))?;
                Either::Right(Box::new(stream.map_err(|error| failed(tls::explain(error)))?.into()))
            }
            Mode::Plaintext | Mode::Waiting(_) => Either::Left(stream),
        };
        Ok(Self { peer: peer.to_owned(), framed: framed(stream), security })
    }

    /// Takes a connection that another member opened from `address`.
    pub(super) async fn accept(
        stream: TcpStream,
        address: SocketAddr,
        security: LinkSecurity,
    ) -> Result<Self, SidecarError> {
        let peer = address.to_string();
        let failed = |source| SidecarError::Link { peer: peer.clone(), source };
        stream.set_nodelay(true).map_err(failed)?;
        let shaken = timeout(HANDSHAKE_TIMEOUT, greet(stream, &security)).await;
        let stream = shaken.map_err(|_| failed(ErrorKind::TimedOut.into()))?.map_err(failed)?;
        Ok(Self { framed: framed(stream), peer, security })
    }

    /// Why the other side is not who it says it is, when its certificate is not for exactly `name`. In plain text everybody is.
    pub(super) fn impostor(&self, name: &str) -> Option<String> {
        let Either::Right(stream) = self.framed.get_ref() else { return None };
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let names = match shown.map(|shown| CertificateFacts::of_der("its certificate", shown)) {
            Some(Ok(facts)) if facts.names.iter().any(|shown| shown == name) => return None,
            Some(Ok(facts)) => facts.names.join(", "),
            Some(Err(error)) => return Some(error.to_string()),
            None => return Some("it shows no certificate".to_owned()),
        };
        Some(format!("its certificate is for {names}, and that of this member would be for {name}"))
    }

    pub(super) fn rename_peer(&mut self, peer: &str) {
        peer.clone_into(&mut self.peer);
    }

    pub(super) async fn send(&mut self, epoch: i64, message: Message) -> Result<(), SidecarError> {
        let frame = message.into_frame(epoch).encode();
        let sent = self.framed.send(frame).await;
        sent.map_err(|source| SidecarError::Link { peer: self.peer.clone(), source: self.explain(source) })
    }

    /// The next message and the epoch of its sender. Fails also when a link of this kind is not wanted any more.
    pub(super) async fn receive(&mut self) -> Result<(i64, Message), SidecarError> {
        let encrypted = self.is_encrypted();
        let bytes = tokio::select! {
            biased;
            bytes = self.framed.next() => bytes,
            () = self.security.outdated(encrypted) => {
                let source = Error::other("members are to talk in another way from now on; connecting anew");
                return Err(SidecarError::Link { peer: self.peer.clone(), source });
            }
        };
        self.read(bytes)
    }

    /// The same, from a peer that is not to be silent for long.
    pub(super) async fn receive_within(&mut self, patience: Duration) -> Result<(i64, Message), SidecarError> {
        match timeout(patience, self.receive()).await {
            Ok(received) => received,
            Err(_) => Err(SidecarError::cut(&self.peer, &format!("it is silent for {} s", patience.as_secs()))),
        }
    }

    fn is_encrypted(&self) -> bool {
        matches!(self.framed.get_ref(), Either::Right(_))
    }

    /// What the other side thinks of this one's certificate comes only with the first bytes.
    fn explain(&self, error: Error) -> Error {
        let by_tls = error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>);
        if by_tls { tls::explain(error) } else { error }
    }

    fn read(&self, bytes: Option<std::io::Result<bytes::BytesMut>>) -> Result<(i64, Message), SidecarError> {
        let link = |source| SidecarError::Link { peer: self.peer.clone(), source: self.explain(source) };
        let bytes: Bytes =
            bytes.unwrap_or_else(|| Err(std::io::ErrorKind::UnexpectedEof.into())).map_err(link)?.freeze();
        let frame = Frame::decode(bytes).map_err(|source| SidecarError::Frame { peer: self.peer.clone(), source })?;
        let epoch = frame.epoch;
        let message =
            Message::from_frame(frame).map_err(|source| SidecarError::Message { peer: self.peer.clone(), source })?;
        Ok((epoch, message))
    }
}

fn framed<S: AsyncRead + AsyncWrite>(stream: S) -> Framed<S, LengthDelimitedCodec> {
    Framed::new(stream, LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME_BYTES).new_codec())
}

/// Finds out how the other side talks, and refuses it in its own words when that is not how members of this pair talk.
async fn greet(stream: TcpStream, security: &LinkSecurity) -> std::io::Result<Stream> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    match (security.now(), first == [TLS_HANDSHAKE]) {
        (Mode::Waiting(why), _) => Err(Error::other(why)),
        (Mode::Plaintext, false) => Ok(Either::Left(stream)),
        (Mode::Plaintext, true) => {
            Err(Error::other("it wants to encrypt, and this member is set to plain text; set both alike"))
        }
        (Mode::Tls(credentials), true) => match credentials.acceptor.accept(stream).into_fallible().await {
            Ok(stream) => Ok(Either::Right(Box::new(stream.into()))),
            Err((error, stream)) => {
                part(stream).await;
                Err(tls::explain(error))
            }
        },
        (Mode::Tls(_), false) => {
            let reason = "this member encrypts, and you talk in plain text; set both alike".to_owned();
            let refused = Message::Answer(Answer::Refused { reason }).into_frame(0).encode();
            let mut framed = framed(stream);
            framed.send(refused).await?;
            part(framed.into_inner()).await;
            Err(Error::other("it talks in plain text, and this member encrypts; set both alike"))
        }
    }
}

/// Lets the other side read what it was told last: to close with something of it unread would throw that away on its side too.
async fn part(mut stream: TcpStream) {
    let mut unread = [0; 4096];
    let read = async {
        stream.shutdown().await?;
        while stream.read(&mut unread).await? > 0 {}
        Ok::<_, Error>(())
    };
    // Whatever goes wrong, it is over.
    drop(timeout(PARTING_TIMEOUT, read).await);
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tokio::sync::watch;

    use super::*;
    use crate::{
        pki::Issued,
        replication::message::Heartbeat,
        sidecar::security::tests::{authority, changeable, write},
    };

    fn credentials(authority: &Issued, member: &str) -> Mode {
        let folder = tempfile::tempdir().expect("a folder");
        let files = write(folder.path(), authority, member);
        let material = files.read().expect("files");
        Mode::Tls(files.credentials(&material, &format!("{member}.demo"), Timestamp::now()).expect("credentials"))
    }

    /// Two members with their links to each other: what the standby has, what the active has, and how to change that.
    struct Two {
        standby: Result<Link, SidecarError>,
        active: Result<Link, SidecarError>,
        modes: [watch::Sender<Mode>; 2],
    }

    async fn two(standby: Mode, active: Mode) -> Two {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
        let to = Addresses {
            link: listener.local_addr().expect("an address").to_string(),
            rpc: String::new(),
            certificate_name: Ok("active.demo".to_owned()),
        };
        let ((here, standby), (there, active)) = (changeable(standby), changeable(active));
        let accept = async {
            let (stream, address) = listener.accept().await.expect("a connection");
            Link::accept(stream, address, active).await
        };
        let connect = async {
            let mut link = Link::connect("active", &to, IpAddr::from([0, 0, 0, 0]), standby).await?;
            link.send(1, beat()).await?;
            Ok(link)
        };
        let (active, standby) = tokio::join!(accept, connect);
        Two { standby, active, modes: [here, there] }
    }

    /// The next message, or why there is none; a link that should have ended must not keep the test waiting for ever.
    async fn next(link: &mut Link) -> Result<(i64, Message), SidecarError> {
        timeout(Duration::from_secs(60), link.receive()).await.expect("a message or an end")
    }

    fn beat() -> Message {
        Message::Heartbeat(Heartbeat { current_head: None, serving: true })
    }

    #[tokio::test]
    async fn a_link_outlives_its_certificates_and_ends_with_its_kind() {
        let authority = authority();
        let Two { standby, active, modes } =
            two(credentials(&authority, "standby"), credentials(&authority, "active")).await;
        let (mut standby, mut active) = (standby.expect("a link"), active.expect("a link"));
        assert_eq!(active.impostor("standby.demo"), None);
        assert!(active.impostor("active.demo").expect("another name").contains("is for standby.demo"));
        assert_eq!(next(&mut active).await.expect("a message"), (1, beat()));

        for [new_standby, new_active] in [
            ["standby", "active"].map(|member| credentials(&authority, member)),
            ["standby", "active"].map(|_| Mode::Waiting("for certificates of another kind".to_owned())),
        ] {
            modes[0].send_replace(new_standby);
            modes[1].send_replace(new_active);
            active.send(2, beat()).await.expect("sent");
            assert_eq!(next(&mut standby).await.expect("a message"), (2, beat()));
        }
        modes[0].send_replace(Mode::Plaintext);
        let error = next(&mut standby).await.expect_err("it is not wanted any more").to_string();
        assert!(error.contains("talk in another way from now on"), "{error}");
    }

    #[tokio::test]
    async fn a_link_in_plain_text_ends_once_its_member_can_encrypt() {
        let Two { standby, active, modes } = two(Mode::Plaintext, Mode::Plaintext).await;
        let (_standby, mut active) = (standby.expect("a link"), active.expect("a link"));
        assert_eq!(active.impostor("whoever.demo"), None, "in plain text everybody is who they say they are");
        modes[1].send_replace(Mode::Waiting("for a certificate".to_owned()));
        assert_eq!(next(&mut active).await.expect("a message"), (1, beat()));
        modes[1].send_replace(credentials(&authority(), "active"));
        next(&mut active).await.expect_err("it is not wanted any more");
    }

    #[tokio::test]
    async fn who_waits_for_a_certificate_makes_no_link() {
        let waiting = || Mode::Waiting("for its certificate".to_owned());
        let authority = authority();
        for other in [Mode::Plaintext, credentials(&authority, "standby")] {
            let both = two(other, waiting()).await;
            let error = both.active.expect_err("nothing is accepted").to_string();
            assert!(error.contains("for its certificate"), "{error}");
        }
        let (_mode, security) = changeable(waiting());
        let to = Addresses { link: "127.0.0.1:1".to_owned(), rpc: String::new(), certificate_name: Err(String::new()) };
        let dialled = Link::connect("active", &to, IpAddr::from([0, 0, 0, 0]), security).await;
        assert!(dialled.expect_err("nothing is dialled").to_string().contains("for its certificate"));
    }
}
