//! Keeps the heads in the control file near the truth, at no cost for what serves or streams.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{SidecarError, board::Board, shipping::blocking, store::AnchorStore};

/// Between two looks. Heads are for people and for what is made of a gap; whatever has to be exact is read from the log. So two
/// fsyncs a second are enough, and not too many for the disk that the log is on.
const PACE: Duration = Duration::from_secs(1);

/// Writes heads that have moved, until `stop` and once more then.
pub(super) async fn keep(anchors: AnchorStore, board: Arc<Board>, stop: CancellationToken) {
    let mut failing = false;
    loop {
        let last = tokio::select! {
            () = stop.cancelled() => true,
            () = sleep(PACE) => false,
        };
        let noted = note(&anchors, &board).await;
        if let Err(error) = noted.as_ref()
            && !failing
        {
            tracing::warn!(%error, "the heads cannot be written to the control file; they are tried again each second");
        }
        failing = noted.is_err();
        if last {
            return;
        }
    }
}

async fn note(anchors: &AnchorStore, board: &Board) -> Result<(), SidecarError> {
    // Looked at before the heads: those of a generation that is replaced in between are left out then.
    let Some(generation) = anchors.current().generation else { return Ok(()) };
    let Some(heads) = board.heads() else { return Ok(()) };
    let anchors = anchors.clone();
    blocking(move || anchors.update(|anchors| anchors.saw(&generation, heads))).await
}
