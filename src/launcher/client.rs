//! The sidecar's end of the launcher's socket.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{SinkExt, StreamExt};
use tokio::{net::UnixStream, time::timeout};
use tokio_util::codec::{Framed, LinesCodec};

use super::{
    protocol::{LauncherStatus, Reply, Request},
    server::LONGEST_MESSAGE,
};

/// How long connecting may take: it is a socket on the same machine.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// Why the launcher did not do what was asked.
#[derive(thiserror::Error, Debug)]
pub enum LauncherError {
    /// Nobody listens there: the launcher has not started yet, or is dead, and with it its kudu-master.
    #[error("no launcher answers on {}: {source}", path.display())]
    NotThere {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It answered, and will not do it; nothing half-done stays.
    #[error("the launcher refused: {0}")]
    Refused(String),
    /// It did not answer in time. Whether it did what was asked is unknown: connect again and ask for its status.
    #[error("the launcher did not answer within {0:?}")]
    TimedOut(Duration),
    /// The connection broke, or carried something else than answers. Connect again.
    #[error("the connection to the launcher broke: {0}")]
    Broken(String),
}

/// A connection to a launcher. Dropped while a job is under way, it cancels that job.
#[derive(Debug)]
pub struct LauncherClient {
    /// None once an answer was missed: a late one must not be taken for the answer to the next request.
    lines: Option<Framed<UnixStream, LinesCodec>>,
}

impl LauncherClient {
    /// Connects.
    pub async fn connect(path: impl AsRef<Path>) -> Result<Self, LauncherError> {
        let path = path.as_ref();
        match timeout(CONNECT_LIMIT, UnixStream::connect(path)).await {
            Ok(Ok(stream)) => {
                Ok(Self { lines: Some(Framed::new(stream, LinesCodec::new_with_max_length(LONGEST_MESSAGE))) })
            }
            Ok(Err(source)) if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                Err(LauncherError::NotThere { path: path.to_owned(), source })
            }
            // One that stands still has a queue that is full at some time.
            Ok(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => Err(LauncherError::TimedOut(CONNECT_LIMIT)),
            Ok(Err(error)) => Err(LauncherError::Broken(error.to_string())),
            Err(_) => Err(LauncherError::TimedOut(CONNECT_LIMIT)),
        }
    }

    /// Asks, and waits as long as such a request may take.
    pub async fn call(&mut self, request: Request) -> Result<LauncherStatus, LauncherError> {
        let limit = usual_limit(&request);
        self.call_within(request, limit).await
    }

    /// Asks, and waits so long. After any error but [`LauncherError::Refused`] the connection cannot be used again.
    pub async fn call_within(&mut self, request: Request, limit: Duration) -> Result<LauncherStatus, LauncherError> {
        let broken = |error: &dyn std::fmt::Display| LauncherError::Broken(error.to_string());
        let mut lines = self.lines.take().ok_or_else(|| broken(&"an earlier call did not get its answer"))?;
        let line = serde_json::to_string(&request).map_err(|error| broken(&error))?;
        let exchange = async {
            lines.send(line).await.map_err(|error| broken(&error))?;
            match lines.next().await {
                Some(Ok(line)) => serde_json::from_str(&line).map_err(|error| broken(&error)),
                Some(Err(error)) => Err(broken(&error)),
                None => Err(broken(&"the launcher hung up")),
            }
        };
        let reply = timeout(limit, exchange).await.map_err(|_| LauncherError::TimedOut(limit))??;
        self.lines = Some(lines);
        match reply {
            Reply::Done(status) => Ok(status),
            Reply::Refused { message } => Err(LauncherError::Refused(message)),
        }
    }
}

/// How long the answer to a request may take.
fn usual_limit(request: &Request) -> Duration {
    Duration::from_secs(match request {
        Request::Status | Request::Renew { .. } => 2,
        Request::Start { .. } => 5,
        // A kill can wait for a disk.
        Request::Stop | Request::Exit => 30,
        Request::SetTerm { .. } => 30,
        Request::Format { .. } => 180,
        // The launcher has its own limits, in all and without progress.
        Request::CopyBase { .. } => 3700,
    })
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};

    use super::*;

    #[tokio::test]
    async fn a_launcher_that_stands_still_is_not_taken_for_one_that_is_dead() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("launcher.sock");
        let frozen = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        bind(&frozen, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        listen(&frozen, 0).unwrap();
        let mut waiting = Vec::new();
        let error = loop {
            match LauncherClient::connect(&path).await {
                Ok(client) => waiting.push(client),
                Err(error) => break error,
            }
            assert!(waiting.len() < 10, "its queue takes everybody");
        };
        assert!(matches!(error, LauncherError::TimedOut(_)), "{error}");
        drop(frozen);
        assert!(matches!(LauncherClient::connect(&path).await, Err(LauncherError::NotThere { .. })));
    }
}
