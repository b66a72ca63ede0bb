//! The socket on which kudu-master's sync gate asks: one connection for each sync of the log, answered when it may return.
//!
//! A gate whose connection ends without an answer asks again, so nothing is lost by hanging up on it. `docs/protocol.md` has
//! the messages.

use std::{os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};
use tokio_util::sync::CancellationToken;

use super::{SidecarError, acknowledgements::Acknowledgements};

/// Version of the messages.
const VERSION: u32 = 1;
/// What the gate is told when a sync may return.
const PERMITTED: u8 = b'p';

/// What the gate says when a sync begins.
#[derive(Debug)]
struct Begun {
    pid: u32,
    segment: u64,
}

pub(super) fn bind(path: &Path) -> Result<UnixListener, SidecarError> {
    let failed = |source| SidecarError::Listen { address: path.display().to_string(), source };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(failed)?;
    Ok(listener)
}

pub(super) async fn serve(listener: UnixListener, acknowledgements: Acknowledgements, stop: CancellationToken) {
    let acknowledgements = Arc::new(acknowledgements);
    let mut syncs = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = syncs.join_next(), if !syncs.is_empty() => {}
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let acknowledgements = Arc::clone(&acknowledgements);
                syncs.spawn(async move {
                    if let Err(error) = answer(stream, &acknowledgements).await {
                        tracing::debug!(%error, "a sync is no longer waited for");
                    }
                });
            },
        }
    }
}

async fn answer(mut stream: UnixStream, acknowledgements: &Acknowledgements) -> std::io::Result<()> {
    let begun = read(&mut stream).await?;
    tracing::trace!(pid = begun.pid, segment = begun.segment, "a sync has begun");
    let mut nothing = [0];
    let permitted = tokio::select! {
        permitted = acknowledgements.permit() => permitted,
        // The gate says nothing more: it has gone, and with it whoever waited.
        _ = stream.read(&mut nothing) => false,
    };
    if permitted { stream.write_all(&[PERMITTED]).await } else { Ok(()) }
}

async fn read(stream: &mut UnixStream) -> std::io::Result<Begun> {
    let version = stream.read_u32().await?;
    if version != VERSION {
        return Err(std::io::Error::other(format!("the gate speaks version {version}, this sidecar {VERSION}")));
    }
    Ok(Begun { pid: stream.read_u32().await?, segment: stream.read_u64().await? })
}
