//! The socket of `kudu-pair ctl`: one JSON request a line, one JSON reply each.

use std::{path::Path, sync::Arc};

use futures::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::{
    codec::{Framed, LinesCodec},
    sync::CancellationToken,
};

use super::{
    SidecarError,
    board::Board,
    coordinator::{Coordinator, Upstream},
};
use crate::{
    api::{GapRequest, MemberState},
    failover::member::MemberReport,
    wal::OpId,
};

/// Longest request or reply; a report of four standbys is far below.
const MAX_LINE_BYTES: usize = 256 * 1024;

/// What `kudu-pair ctl` asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum ControlRequest {
    /// How is the member?
    Status,
    /// Format the pair's catalog and serve it: once in a pair's life.
    Init,
    /// Serve. The member before must have been demoted, or be dead.
    Promote {
        /// Refuse with a log that ends before this op.
        gate: Option<OpId>,
        /// The epoch of the new reign; one above the highest that this member knows when absent.
        epoch: Option<i64>,
        /// Also with a log that was found unfit.
        #[serde(default)]
        unfit: bool,
    },
    /// Replay or give up a gap that this member keeps.
    Gap {
        /// Its name, as the report has it.
        name: String,
        /// What.
        what: GapRequest,
    },
    /// Stop serving; ship what is left of the log.
    Demote,
    /// Become the standby of another member.
    Follow {
        /// Where it is.
        master: Upstream,
    },
}

/// The reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "camelCase")]
pub enum ControlReply {
    /// Accepted; this is how the member was at that moment. What becomes of it, a later status shows.
    Ok(Box<MemberReport>),
    /// Nothing was done.
    Refused {
        /// Why, and what to do.
        message: String,
    },
}

pub(super) fn bind(path: &Path) -> Result<UnixListener, SidecarError> {
    let failed = |source| SidecarError::Listen { address: path.display().to_string(), source };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    UnixListener::bind(path).map_err(failed)
}

pub(super) async fn serve(
    listener: UnixListener,
    board: Arc<Board>,
    coordinator: Arc<Coordinator>,
    stop: CancellationToken,
) {
    let mut clients = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = clients.join_next(), if !clients.is_empty() => {}
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                clients.spawn(talk(stream, Arc::clone(&board), Arc::clone(&coordinator)));
            },
        }
    }
}

async fn talk(stream: UnixStream, board: Arc<Board>, coordinator: Arc<Coordinator>) {
    let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(MAX_LINE_BYTES));
    while let Some(Ok(line)) = lines.next().await {
        let reply = match serde_json::from_str(&line) {
            Ok(request) => answer(request, &board, &coordinator),
            Err(error) => ControlReply::Refused { message: format!("the request cannot be read: {error}") },
        };
        let Ok(text) = serde_json::to_string(&reply) else { return };
        if lines.send(text).await.is_err() {
            return;
        }
    }
}

fn answer(request: ControlRequest, board: &Board, coordinator: &Coordinator) -> ControlReply {
    let report = board.report();
    let refused = |message: String| ControlReply::Refused { message };
    if request == ControlRequest::Status {
        return ControlReply::Ok(Box::new(report));
    }
    let Coordinator::Manual(manual) = coordinator else {
        return refused(
            "this member takes its orders from Kubernetes; ask for a switchover with: kubectl annotate kmp <pair> kudupair.io/switchover=<member>"
                .to_owned(),
        );
    };
    match request {
        ControlRequest::Status => {}
        ControlRequest::Init if report.has_catalog || report.epoch > 0 => {
            return refused(format!(
                "init: this member already has a catalog or obeyed epoch {}; a pair's catalog is formatted once in its life. Use promote",
                report.epoch
            ));
        }
        ControlRequest::Init => manual.promote(1, None, Some(uuid::Uuid::new_v4().simple().to_string())),
        ControlRequest::Promote { .. } if !report.has_catalog => {
            return refused("promote: there is no catalog on this member; let it follow the active first, or use init on the first member of a new pair".to_owned());
        }
        ControlRequest::Promote { unfit: false, .. } if !report.is_fit() => {
            let why = report.unfit.map_or_else(String::new, |unfit| unfit.message);
            return refused(format!(
                "promote: this member's log was found unfit: {why}. Let it follow the active, so that it takes a new base; if there is no other member left, promote it with --unfit"
            ));
        }
        ControlRequest::Promote { epoch: Some(epoch), .. } if epoch <= report.epoch => {
            return refused(format!(
                "promote: epoch {epoch} must be above {}, the highest that this member has obeyed",
                report.epoch
            ));
        }
        ControlRequest::Promote { gate: Some(gate), .. } if report.head.is_none_or(|head| head < gate) => {
            let head = report.head.map_or("nothing".to_owned(), |head| head.to_string());
            return refused(format!("promote: this member's log ends at {head}, before {gate}"));
        }
        ControlRequest::Promote { gate, epoch, .. } => {
            manual.promote(epoch.unwrap_or(report.epoch.saturating_add(1)), gate, None);
        }
        ControlRequest::Demote
            if !matches!(report.state, MemberState::Serving | MemberState::Promoting | MemberState::Failed) =>
        {
            return refused(format!("demote: this member is {:?} and serves nothing", report.state));
        }
        ControlRequest::Gap { name, what } => match report.gaps.iter().find(|gap| gap.name == name) {
            Some(gap) if gap.is_open() => manual.ask_about_gap(name, what),
            Some(gap) => return refused(format!("gap: {name} is {:?} already", gap.state)),
            None => {
                return refused(format!("gap: this member keeps no gap {name:?}; `status` lists those that it keeps"));
            }
        },
        ControlRequest::Demote => manual.demote(report.epoch),
        ControlRequest::Follow { master } if manual.unknown(&master).is_some() => {
            return refused(format!("follow: {}", manual.unknown(&master).unwrap_or_default()));
        }
        ControlRequest::Follow { master } => manual.follow(report.epoch, master),
    }
    ControlReply::Ok(Box::new(report))
}
