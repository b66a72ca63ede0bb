//! The worker: does one job after another with Kudu's tools, beside a running master.

use std::{
    io,
    sync::{Arc, mpsc},
    thread,
};

use super::{
    catalog::CatalogError,
    child::Children,
    copy, format,
    machine::Ticket,
    protocol::Request,
    term,
    tools::{Cancel, Programs, ToolError},
    volumes::{VolumeError, Volumes},
};

/// What all jobs work with.
#[derive(Debug, Clone)]
pub struct Workshop {
    /// Kudu's programs.
    pub programs: Programs,
    /// Where they work.
    pub volumes: Volumes,
    /// The launcher's children.
    pub children: Arc<Children>,
    /// The user's flags of kudu-master.
    pub user_flags: Vec<String>,
}

/// A job to do.
#[derive(Debug)]
pub struct Job {
    /// Who asked for it.
    pub ticket: Ticket,
    /// What to do.
    pub request: Request,
    /// Whether anybody still waits for it.
    pub cancel: Cancel,
}

/// Why a job was not done.
#[derive(thiserror::Error, Debug)]
pub enum JobError {
    /// One of Kudu's tools.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The volumes.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// What is on them.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Any other file.
    #[error("{0}: {1}")]
    File(&'static str, #[source] io::Error),
    /// What was asked makes no sense.
    #[error("{0}")]
    Asked(String),
}

/// Starts the worker's thread. It lives as long as the launcher, since its children die with it; `done` tells how each job went.
pub fn start_worker(
    workshop: Workshop,
    done: impl Fn(Ticket, Result<(), String>) + Send + 'static,
) -> io::Result<mpsc::Sender<Job>> {
    let (sender, jobs) = mpsc::channel::<Job>();
    thread::Builder::new().name("worker".to_owned()).spawn(move || {
        for job in jobs {
            let result = workshop.work(&job.request, &job.cancel);
            if let Err(error) = &result {
                tracing::warn!(%error, request = ?job.request, "job failed");
            }
            done(job.ticket, result.map_err(|error| error.to_string()));
        }
    })?;
    Ok(sender)
}

impl Workshop {
    fn work(&self, request: &Request, cancel: &Cancel) -> Result<(), JobError> {
        if cancel.is_cancelled() {
            return Err(ToolError::Cancelled.into());
        }
        match request {
            Request::Format { generation, uuid } => {
                self.make(generation, uuid, || format::format(self, generation, uuid, cancel))
            }
            Request::CopyBase { generation, uuid, from, bytes_per_second } => self.make(generation, uuid, || {
                copy::copy_base(
                    self,
                    generation,
                    uuid,
                    &copy::Source { from, bytes_per_second: *bytes_per_second },
                    cancel,
                )
            }),
            Request::SetTerm { generation, term } => term::set_term(self, generation, *term, cancel),
            other => Err(JobError::Asked(format!("{other:?} is not a job"))),
        }
    }

    /// Makes a generation at once or not at all.
    fn make(&self, generation: &str, uuid: &str, work: impl FnOnce() -> Result<(), JobError>) -> Result<(), JobError> {
        check_uuid(uuid)?;
        let partial = self.volumes.begin(generation)?;
        let made = work().and_then(|()| {
            super::catalog::check(&partial.wal, &partial.data)?;
            super::catalog::check_uuid(&partial.wal, uuid)?;
            Ok(self.volumes.commit(generation)?)
        });
        if made.is_err() {
            self.volumes.clear_leftovers()?;
        }
        made
    }
}

fn check_uuid(uuid: &str) -> Result<(), JobError> {
    if uuid.len() == 32 && uuid.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        Ok(())
    } else {
        Err(JobError::Asked(format!("'{uuid}' is not one of Kudu's uuids: 32 hexadecimal digits, small letters")))
    }
}
