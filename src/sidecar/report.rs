//! `/report`, `/ready` and `/health`, and `more`: read-only, for the controller, the kubelet and people.

use std::{net::SocketAddr, sync::Arc};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{SidecarError, board::Board};

pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, SidecarError> {
    TcpListener::bind(address).await.map_err(|source| SidecarError::Listen { address: address.to_string(), source })
}

pub(super) async fn serve(listener: TcpListener, board: Arc<Board>, more: Router, stop: CancellationToken) {
    let app = Router::new()
        .route("/report", get(|State(board): State<Arc<Board>>| async move { Json(board.report()) }))
        .route("/ready", get(ready))
        .route("/health", get(|| async { "ok\n" }))
        .with_state(board)
        .merge(more);
    if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(%error, "the report is no longer served");
    }
}

async fn ready(State(board): State<Arc<Board>>) -> impl IntoResponse {
    let report = board.report();
    let status = if board.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{:?} {:?} {}\n", report.role, report.state, report.message.unwrap_or_default()))
}
