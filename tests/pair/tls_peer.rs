//! Certificates for the tests, and a peer that says what it is told to, whatever its certificate says.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use kudu_pair::{
    pki::{certificate::certificates, verify},
    replication::{
        Message,
        frame::{Frame, MAX_FRAME_BYTES},
        message::{Answer, Register},
    },
};
use rustls::{
    ClientConfig,
    pki_types::{PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{net::TcpSocket, time::timeout};
use tokio_rustls::TlsConnector;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::member::{Member, PATIENCE, program};

/// A pair's authority, and the certificates that it issued.
pub(crate) struct Authority {
    pair: &'static str,
    dir: tempfile::TempDir,
}

impl Authority {
    /// Makes one with `kudu-pair pki ca`.
    pub(crate) fn new(pair: &'static str) -> Self {
        let this = Self { pair, dir: tempfile::tempdir().expect("a folder") };
        must(program().args(["pki", "ca", "--pair", pair, "--out"]).arg(this.dir.path()));
        this
    }

    /// Makes a member's certificate with `kudu-pair pki member`: certificate and key.
    pub(crate) fn issue(&self, member: &str) -> [PathBuf; 2] {
        let out = self.dir.path();
        must(
            program()
                .args(["pki", "member", "--pair", self.pair, "--member", member, "--ca"])
                .arg(out)
                .arg("--out")
                .arg(out),
        );
        ["crt", "key"].map(|ending| out.join(format!("{member}.{ending}")))
    }

    /// Its own certificate.
    pub(crate) fn certificate(&self) -> String {
        fs::read_to_string(self.dir.path().join("ca.crt")).expect("an authority")
    }
}

/// Tells a member whom to trust.
pub(crate) fn trust(member: &Member, authorities: &[&Authority]) {
    let [ca, ..] = member.certificate_files();
    fs::write(ca, bundle(authorities)).expect("a file");
}

/// Gives a member a certificate of this authority.
pub(crate) fn certify(member: &Member, authority: &Authority) {
    let [_, certificate, key] = member.certificate_files();
    let made = authority.issue(member.name);
    fs::copy(&made[0], certificate).expect("a copy");
    fs::copy(&made[1], key).expect("a copy");
}

fn bundle(authorities: &[&Authority]) -> String {
    authorities.iter().map(|authority| authority.certificate()).collect()
}

fn must(command: &mut Command) {
    let output = command.output().expect("kudu-pair");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Registers with `active` from `from` as the member `name` of `pair`, over TLS with that certificate. Returns what became of
/// it: the refusal, or how the connection failed.
pub(crate) fn register(
    active: &Member,
    expected: &str,
    from: IpAddr,
    trusts: &[&Authority],
    shows: Option<&[PathBuf; 2]>,
    claims: (&str, &str),
) -> String {
    let config = client_config(&bundle(trusts), shows.map(|[certificate, key]| (certificate.as_path(), key.as_path())));
    let to: SocketAddr = active.link().parse().expect("an address");
    let name = ServerName::try_from(expected.to_owned()).expect("a name");
    let register =
        Register { pair: claims.0.to_owned(), member: claims.1.to_owned(), history: None, compare_from: None };
    let talk = async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from, 0))?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, socket.connect(to).await?).await?;
        let codec = LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME_BYTES).new_codec();
        let mut framed = Framed::new(stream, codec);
        framed.send(Message::Register(register).into_frame(0).encode()).await?;
        framed.next().await.unwrap_or_else(|| Err(std::io::ErrorKind::UnexpectedEof.into()))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let answer = runtime.block_on(async { timeout(PATIENCE, talk).await }).expect("an answer in time");
    match answer {
        Err(error) => error.to_string(),
        Ok(bytes) => match Message::from_frame(Frame::decode(Bytes::from(bytes)).expect("a frame")) {
            Ok(Message::Answer(Answer::Refused { reason })) => reason,
            other => format!("{other:?}"),
        },
    }
}

fn client_config(trusts: &str, shows: Option<(&Path, &Path)>) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(verify::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(verify::trusted("the test", trusts.as_bytes()).expect("authorities"));
    let Some((certificate, key)) = shows else { return builder.with_no_client_auth() };
    let chain = certificates("the test", &fs::read(certificate).expect("a certificate")).expect("a certificate");
    builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).expect("a key")).expect("a pair of keys")
}
