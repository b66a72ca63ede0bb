//! The launcher's socket.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use futures::{SinkExt, StreamExt};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::oneshot,
};
use tokio_util::{
    codec::{Framed, LinesCodec, LinesCodecError},
    sync::CancellationToken,
    task::TaskTracker,
};

use super::{
    keeper::Message,
    machine::Event,
    protocol::{Reply, Request},
    tools::Cancel,
};

/// Longest message, in bytes.
pub const LONGEST_MESSAGE: usize = 64 * 1024;
/// Who may talk to the launcher: its user and group. A pod gives both containers the same group.
const SOCKET_MODE: u32 = 0o660;
/// Most clients at once: a sidecar has one or two connections.
const MOST_CLIENTS: usize = 32;

/// Why the socket cannot be opened.
#[derive(thiserror::Error, Debug)]
pub enum SocketError {
    /// Someone answers there.
    #[error("another launcher answers on {}; stop it first, or choose another --socket", .0.display())]
    Taken(PathBuf),
    /// There is something else.
    #[error("{} exists and is not a socket; choose another --socket", .0.display())]
    NotASocket(PathBuf),
    /// The system refuses.
    #[error("the socket {} cannot be opened: {}", .0.display(), .1)]
    Io(PathBuf, #[source] io::Error),
}

/// Opens the socket. A file that an earlier launcher has left is replaced; one on which a launcher still answers is not.
pub async fn bind(path: &Path) -> Result<UnixListener, SocketError> {
    use std::os::unix::fs::FileTypeExt;
    let failed = |error| SocketError::Io(path.to_owned(), error);
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => return Err(SocketError::NotASocket(path.to_owned())),
        Ok(_) if UnixStream::connect(path).await.is_ok() => return Err(SocketError::Taken(path.to_owned())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    // Under another name until it has the right mode; the rename also replaces what was left.
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&new).map_err(failed)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(SOCKET_MODE)).map_err(failed)?;
    fs::rename(&new, path).map_err(failed)?;
    Ok(listener)
}

/// Serves clients until `left` completes; then each one gets the answers that are on their way.
pub async fn serve(listener: UnixListener, keeper: mpsc::Sender<Message>, left: oneshot::Receiver<()>) {
    let clients = TaskTracker::new();
    let leaving = CancellationToken::new();
    let connected = Arc::new(AtomicUsize::new(0));
    tokio::pin!(left);
    loop {
        let stream = tokio::select! {
            _ = &mut left => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a client cannot be accepted");
                    // Out of descriptors, say: not a reason to spin.
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        if connected.load(Ordering::Relaxed) >= MOST_CLIENTS {
            tracing::warn!(most = MOST_CLIENTS, "too many clients; hung up on one");
            continue;
        }
        let (keeper, leaving, connected) = (keeper.clone(), leaving.clone(), Arc::clone(&connected));
        clients.spawn(async move {
            count(&keeper, connected.fetch_add(1, Ordering::Relaxed) + 1);
            if let Err(error) = converse(stream, &keeper, &leaving).await {
                tracing::warn!(%error, "a client's connection broke");
            }
            count(&keeper, connected.fetch_sub(1, Ordering::Relaxed) - 1);
        });
    }
    clients.close();
    leaving.cancel();
    // Answers are short; a client that does not take them does not hold up the end.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), clients.wait()).await;
}

fn count(keeper: &mpsc::Sender<Message>, connected: usize) {
    // It fails only when the launcher is ending.
    let _ = keeper.send(Message::Event(Event::Clients { connected }));
}

type Line = Option<Result<String, LinesCodecError>>;

/// One client: a request, its answer, the next.
async fn converse(
    stream: UnixStream,
    keeper: &mpsc::Sender<Message>,
    leaving: &CancellationToken,
) -> Result<(), LinesCodecError> {
    let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(LONGEST_MESSAGE));
    let mut ahead: Option<Line> = None;
    loop {
        let line = match ahead.take() {
            Some(line) => line,
            None => tokio::select! {
                line = lines.next() => line,
                () = leaving.cancelled() => return Ok(()),
            },
        };
        let Some(line) = line else { return Ok(()) };
        let reply = match serde_json::from_str::<Request>(&line?) {
            Ok(request) => match ask(request, keeper, &mut lines, &mut ahead).await {
                Some(reply) => reply,
                None => return Ok(()),
            },
            Err(error) => Reply::Refused { message: format!("not a request that this launcher knows: {error}") },
        };
        let reply = serde_json::to_string(&reply).map_err(io::Error::from)?;
        lines.send(reply).await?;
    }
}

/// Asks the keeper and waits; reads on meanwhile, so that a client that hangs up is noticed and what it asked for cancelled.
async fn ask(
    request: Request,
    keeper: &mpsc::Sender<Message>,
    lines: &mut Framed<UnixStream, LinesCodec>,
    ahead: &mut Option<Line>,
) -> Option<Reply> {
    let (sender, reply) = oneshot::channel();
    let cancel = Cancel::default();
    keeper.send(Message::Asked { request, reply: sender, cancel: cancel.clone() }).ok()?;
    tokio::pin!(reply);
    loop {
        tokio::select! {
            biased;
            reply = &mut reply => return reply.ok(),
            // One request ahead is kept for later; more wait in the socket.
            line = lines.next(), if ahead.is_none() => {
                if !matches!(line, Some(Ok(_))) {
                    cancel.cancel();
                }
                *ahead = Some(line);
            }
        }
    }
}
