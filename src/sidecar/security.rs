//! How this member's links are secured: in plain text, by certificates, or not at all yet. May change while it runs.

use std::{future::pending, time::Duration};

use jiff::Timestamp;
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use super::{
    shipping::blocking,
    tls::{Credentials, TlsError, TlsFiles, TlsMaterial},
};
use crate::failover::member::LinkEncryption;

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Where a member's security comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// Somebody asked for plain text.
    Plaintext,
    /// Certificates in these files.
    Files(TlsFiles),
}

/// What a new link is to be made with.
#[derive(Debug, Clone)]
pub(super) enum Mode {
    /// Nothing.
    Plaintext,
    /// These certificates.
    Tls(Credentials),
    /// No link can be made yet; why.
    Waiting(String),
}

/// How this member's links are secured, as it is now.
#[derive(Debug, Clone)]
pub(super) struct LinkSecurity(watch::Receiver<Mode>);

impl LinkSecurity {
    /// What a new link is to be made with.
    pub(super) fn now(&self) -> Mode {
        self.0.borrow().clone()
    }

    /// What the report says of it.
    pub(super) fn shown(&self) -> LinkEncryption {
        match &*self.0.borrow() {
            Mode::Plaintext => LinkEncryption::Plaintext,
            Mode::Tls(_) => LinkEncryption::Tls,
            Mode::Waiting(why) => LinkEncryption::Waiting(why.clone()),
        }
    }

    /// Resolves when links of this kind (encrypted or not) are not wanted any more. One that is there stays while the next kind
    /// only waits for its certificates, and whatever certificates come.
    pub(super) async fn outdated(&mut self, encrypted: bool) {
        let other = |mode: &Mode| match mode {
            Mode::Plaintext => encrypted,
            Mode::Tls(_) => !encrypted,
            Mode::Waiting(_) => false,
        };
        if self.0.wait_for(other).await.is_err() {
            pending::<()>().await;
        }
    }
}

/// Keeps a [`LinkSecurity`] up to date until it is dropped.
#[derive(Debug)]
pub(super) struct SecurityKeeper {
    security: LinkSecurity,
    task: JoinHandle<()>,
}

impl Drop for SecurityKeeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SecurityKeeper {
    /// Looks at the files for the first time, then again and again. `name` is this member's, as its certificate must have it.
    pub(super) fn begin(source: watch::Receiver<Source>, name: String) -> Self {
        let (sender, receiver) = watch::channel(Mode::Waiting("it has just been started".to_owned()));
        let mut looking = Looking { name, sender, used: None, complaint: None };
        // So that who has all it needs never waits.
        let first = source.borrow().clone();
        let seen = read(&first);
        looking.see(&first, seen);
        let task = tokio::spawn(looking.run(source));
        Self { security: LinkSecurity(receiver), task }
    }

    /// How links are secured.
    pub(super) fn security(&self) -> LinkSecurity {
        self.security.clone()
    }
}

struct Looking {
    name: String,
    sender: watch::Sender<Mode>,
    /// What the mode was made from.
    used: Option<(TlsFiles, TlsMaterial)>,
    /// What was said last of files that cannot be used.
    complaint: Option<String>,
}

impl Looking {
    async fn run(mut self, mut source: watch::Receiver<Source>) {
        loop {
            tokio::select! {
                changed = source.changed() => if changed.is_err() {
                    // Nobody will change it any more; its files still may.
                    sleep(LOOK_INTERVAL).await;
                },
                () = sleep(LOOK_INTERVAL) => {}
            }
            let now = source.borrow().clone();
            let (of, seen) = blocking(move || {
                let seen = read(&now);
                (now, seen)
            })
            .await;
            self.see(&of, seen);
        }
    }

    fn see(&mut self, source: &Source, seen: Option<Result<TlsMaterial, TlsError>>) {
        let files = match source {
            Source::Plaintext => return self.enter(Mode::Plaintext),
            Source::Files(files) => files,
        };
        let Some(seen) = seen else { return };
        let made = seen.and_then(|material| {
            if self.used.as_ref().is_some_and(|(of, used)| (of, used) == (files, &material)) {
                return Ok(None);
            }
            let credentials = files.credentials(&material, &self.name, Timestamp::now())?;
            Ok(Some((material, credentials)))
        });
        match made {
            Ok(None) => self.complaint = None,
            Ok(Some((material, credentials))) => {
                tracing::info!(name = self.name, certificate = %files.certificate.display(), "new links use this certificate");
                self.enter(Mode::Tls(credentials));
                self.used = Some((files.clone(), material));
            }
            Err(error) => self.complain(files, &error),
        }
    }

    /// What cannot be used changes nothing, if there is something to go on with: files may be half-written.
    fn complain(&mut self, files: &TlsFiles, error: &TlsError) {
        let why = error.to_string();
        if self.complaint.as_ref() != Some(&why) {
            tracing::warn!(%error, "the certificates cannot be used");
            self.complaint = Some(why.clone());
        }
        if self.used.as_ref().is_none_or(|(of, _)| of != files) {
            let why = format!("this member waits for its certificate: {why}");
            self.sender.send_replace(Mode::Waiting(why));
            self.used = None;
        }
    }

    fn enter(&mut self, mode: Mode) {
        (self.used, self.complaint) = (None, None);
        self.sender.send_replace(mode);
    }
}

fn read(source: &Source) -> Option<Result<TlsMaterial, TlsError>> {
    match source {
        Source::Files(files) => Some(files.read()),
        Source::Plaintext => None,
    }
}
