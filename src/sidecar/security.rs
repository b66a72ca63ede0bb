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
    /// Not known yet; why.
    Unknown(&'static str),
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
            Source::Unknown(why) => return self.enter(Mode::Waiting((*why).to_owned())),
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
        Source::Plaintext | Source::Unknown(_) => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::pki::{self, Issued, issue};

    /// A security that the test changes.
    pub(crate) fn changeable(mode: Mode) -> (watch::Sender<Mode>, LinkSecurity) {
        let (sender, receiver) = watch::channel(mode);
        (sender, LinkSecurity(receiver))
    }

    pub(crate) fn authority() -> Issued {
        issue::authority("demo", Timestamp::now()).unwrap()
    }

    /// Writes a member's certificate into a folder.
    pub(crate) fn write(folder: &Path, authority: &Issued, member: &str) -> TlsFiles {
        let files = TlsFiles { ca: folder.join("ca"), certificate: folder.join("crt"), key: folder.join("key") };
        let made = issue::member("demo", authority, &pki::manual_name("demo", member), Timestamp::now()).unwrap();
        fs::create_dir_all(folder).unwrap();
        fs::write(&files.ca, &authority.certificate).unwrap();
        fs::write(&files.certificate, made.certificate).unwrap();
        fs::write(&files.key, made.key).unwrap();
        files
    }

    fn looking() -> (Looking, LinkSecurity) {
        let (sender, receiver) = watch::channel(Mode::Waiting("begun".to_owned()));
        (Looking { name: "one.demo".to_owned(), sender, used: None, complaint: None }, LinkSecurity(receiver))
    }

    fn look(looking: &mut Looking, source: &Source) -> LinkEncryption {
        looking.see(source, read(source));
        LinkSecurity(looking.sender.subscribe()).shown()
    }

    #[test]
    fn a_member_waits_for_its_certificate_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let (mut looking, _security) = looking();
        let files = TlsFiles {
            ca: folder.path().join("ca"),
            certificate: folder.path().join("crt"),
            key: folder.path().join("key"),
        };
        let LinkEncryption::Waiting(why) = look(&mut looking, &Source::Files(files)) else { panic!("without files") };
        assert!(
            why.contains("waits for its certificate") && why.contains("tls.ca") && why.contains("cannot be read"),
            "{why}"
        );
        let files = write(folder.path(), &authority(), "one");
        assert_eq!(look(&mut looking, &Source::Files(files)), LinkEncryption::Tls);
    }

    #[test]
    fn what_cannot_be_used_does_not_replace_what_can() {
        let folder = tempfile::tempdir().unwrap();
        let (mut looking, _security) = looking();
        let files = write(folder.path(), &authority(), "one");
        let source = Source::Files(files.clone());
        assert_eq!(look(&mut looking, &source), LinkEncryption::Tls);
        let spoil: [&dyn Fn(); 4] = [
            &|| fs::write(&files.key, "half").unwrap(),
            // Another member's, though of the same authority.
            &|| drop(write(folder.path(), &authority(), "two")),
            // An authority that did not issue it.
            &|| fs::write(&files.ca, authority().certificate).unwrap(),
            &|| fs::remove_file(&files.certificate).unwrap(),
        ];
        for spoil in spoil {
            spoil();
            assert_eq!(look(&mut looking, &source), LinkEncryption::Tls);
            assert!(looking.complaint.take().is_some(), "nothing was said");
        }
    }

    #[test]
    fn another_kind_of_certificates_is_not_replaced_by_those_before() {
        let folder = tempfile::tempdir().unwrap();
        let (mut looking, _security) = looking();
        let managed = Source::Files(write(&folder.path().join("managed"), &authority(), "one"));
        assert_eq!(look(&mut looking, &managed), LinkEncryption::Tls);
        let absent = folder.path().join("absent");
        let other = TlsFiles { ca: absent.clone(), certificate: absent.clone(), key: absent };
        assert!(matches!(look(&mut looking, &Source::Files(other)), LinkEncryption::Waiting(_)));
        assert_eq!(look(&mut looking, &managed), LinkEncryption::Tls);
        assert_eq!(look(&mut looking, &Source::Plaintext), LinkEncryption::Plaintext);
        assert_eq!(look(&mut looking, &managed), LinkEncryption::Tls);
    }

    #[test]
    fn an_ended_certificate_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let files = write(folder.path(), &authority(), "one");
        let later = Timestamp::now() + issue::MEMBER_LIFE + issue::BACKDATE;
        let error = files.credentials(&files.read().unwrap(), "one.demo", later).unwrap_err().to_string();
        assert!(error.contains("tls.certificate") && error.contains("expired"), "{error}");
    }

    #[tokio::test]
    async fn files_that_appear_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            ca: folder.path().join("ca"),
            certificate: folder.path().join("crt"),
            key: folder.path().join("key"),
        };
        let (_source, sources) = watch::channel(Source::Files(files));
        let keeper = SecurityKeeper::begin(sources, "one.demo".to_owned());
        let mut security = keeper.security();
        assert!(matches!(security.shown(), LinkEncryption::Waiting(_)));
        write(folder.path(), &authority(), "one");
        let found = security.0.wait_for(|mode| matches!(mode, Mode::Tls(_)));
        tokio::time::timeout(Duration::from_secs(60), found).await.unwrap().unwrap();
    }
}
