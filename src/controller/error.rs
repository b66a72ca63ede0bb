//! What can go wrong in the controller, and what each kind calls for.

use std::time::Duration;

use super::apply::ApplyError;

/// What an error calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Try again soon; it passes by itself.
    Retry,
    /// Nothing to do until the object changes.
    WaitForChange,
    /// A person has to change something; tried again now and then.
    OperatorNeeded,
}

/// What can go wrong in the controller.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object changed since it was read.
    #[error("{what} changed since it was read; observing anew")]
    Conflict {
        /// Which object.
        what: String,
    },
    /// The API server did not answer in time.
    #[error("the API server did not answer within {} s: {what}", .limit.as_secs_f32())]
    Timeout {
        /// What was being done.
        what: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The API server refused, and will refuse again until somebody changes something.
    #[error("the API server refuses: {what}: {source}")]
    Refused {
        /// What was being done.
        what: String,
        /// What it said.
        source: Box<kube::Error>,
    },
    /// The API server could not be reached, or failed.
    #[error("{what}: {source}")]
    Api {
        /// What was being done.
        what: String,
        /// What it said.
        source: Box<kube::Error>,
    },
    /// One of the pair's objects could not be applied.
    #[error("{source}: {}", root(.source))]
    Apply {
        /// Which, and why.
        #[from]
        source: ApplyError,
    },
    /// The pair cannot be read.
    #[error("the KuduMasterPair cannot be read: {reason}; correct it, or install the operator's version of the CRD")]
    InvalidPair {
        /// What is wrong with it.
        reason: String,
    },
    /// The pair's Lease cannot be read.
    #[error("the Lease {lease} cannot be read: {reason}; correct or delete it")]
    InvalidLease {
        /// Its name.
        lease: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The controller's own port cannot be opened.
    #[error("cannot listen on {address} for health checks: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

impl Error {
    /// Sorts what a request to the API server came back with.
    pub(crate) fn api(what: impl Into<String>, source: kube::Error) -> Self {
        let what = what.into();
        match &source {
            kube::Error::Api(status) if status.is_conflict() || status.is_already_exists() => Self::Conflict { what },
            kube::Error::Api(status) if status.is_forbidden() || status.is_invalid() => {
                Self::Refused { what, source: Box::new(source) }
            }
            _ => Self::Api { what, source: Box::new(source) },
        }
    }

    /// What it calls for.
    pub fn class(&self) -> Class {
        match self {
            Self::Conflict { .. } | Self::Timeout { .. } | Self::Api { .. } => Class::Retry,
            Self::Apply { source: ApplyError::NotOurs { .. } | ApplyError::Unusable { .. } } => Class::OperatorNeeded,
            Self::Apply { .. } => Class::Retry,
            Self::InvalidPair { .. } => Class::WaitForChange,
            Self::InvalidLease { .. } | Self::Refused { .. } | Self::Listen { .. } => Class::OperatorNeeded,
        }
    }

    /// One word for logs, events and metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "Conflict",
            Self::Timeout { .. } => "Timeout",
            Self::Refused { .. } => "Refused",
            Self::Api { .. } => "ApiError",
            Self::Apply { .. } => "ApplyFailed",
            Self::InvalidPair { .. } => "InvalidPair",
            Self::InvalidLease { .. } => "InvalidLease",
            Self::Listen { .. } => "Listen",
        }
    }
}

/// What lies at the bottom of an error, which its own text leaves out.
fn root(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source()).last().map_or_else(String::new, ToString::to_string)
}

/// Runs one request to the API server, no longer than `limit`. A request that hangs is as bad as one that fails: the
/// active's Lease runs on.
pub(crate) async fn within<T>(
    limit: Duration,
    what: &str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, request).await {
        Ok(answer) => answer.map_err(|source| Error::api(what, source)),
        Err(_) => Err(Error::Timeout { what: what.to_owned(), limit }),
    }
}
