//! Kudu's programs: where they are, and how the tools among them are run.

use std::{
    env,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::Child,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{child::Children, output::Output};

/// Where Kudu's images have the programs.
const IMAGE_BIN: &str = "/opt/kudu/bin";
/// How often a running tool is looked at. Most take 60 ms.
const LOOK: Duration = Duration::from_millis(5);
/// How often the progress of a tool is measured.
const MEASURE: Duration = Duration::from_secs(1);

/// Kudu's programs and what they need around them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// The folder of `kudu` and `kudu-master`.
    bin: PathBuf,
    /// Variables for Kudu's processes only: the libraries of Kudu's distribution break other programs.
    environment: Vec<(&'static str, OsString)>,
}

/// Kudu's programs are not there.
#[derive(thiserror::Error, Debug, PartialEq, Eq)]
#[error("Kudu's programs 'kudu' and 'kudu-master' are not in {}; name their folder with --kudu-bin-dir", .0.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "))]
pub struct NoPrograms(Vec<PathBuf>);

impl Programs {
    /// Finds the programs: in `given`, else where Kudu's images have them, else on PATH.
    pub fn find(given: Option<&Path>) -> Result<Self, NoPrograms> {
        let candidates: Vec<PathBuf> = match given {
            Some(given) => vec![given.to_owned()],
            None => {
                let path = env::var_os("PATH").unwrap_or_default();
                [PathBuf::from(IMAGE_BIN)].into_iter().chain(env::split_paths(&path)).collect()
            }
        };
        let has_both = |bin: &&PathBuf| bin.join("kudu").is_file() && bin.join("kudu-master").is_file();
        match candidates.iter().find(has_both) {
            Some(bin) => Ok(Self::at(bin.clone())),
            None => Err(NoPrograms(candidates)),
        }
    }

    fn at(bin: PathBuf) -> Self {
        // The distribution for Maven brings its libraries along, and nothing that points to them.
        let lib = bin.join("../lib");
        let mut environment = Vec::new();
        if lib.join("sasl2").is_dir() {
            let others = env::var_os("LD_LIBRARY_PATH").filter(|others| !others.is_empty());
            let mut libraries = lib.clone().into_os_string();
            if let Some(others) = others {
                libraries.push(":");
                libraries.push(others);
            }
            environment.push(("LD_LIBRARY_PATH", libraries));
            if env::var_os("SASL_PATH").is_none() {
                environment.push(("SASL_PATH", lib.join("sasl2").into_os_string()));
            }
        }
        Self { bin, environment }
    }

    /// `kudu-master`.
    pub fn master(&self) -> PathBuf {
        self.bin.join("kudu-master")
    }

    /// The files of the master's web pages, when they are there.
    pub fn www(&self) -> Option<PathBuf> {
        let www = self.bin.join("../www").canonicalize().ok()?;
        www.is_dir().then_some(www)
    }

    /// Variables for Kudu's processes.
    pub fn environment(&self) -> &[(&'static str, OsString)] {
        &self.environment
    }

    /// Whether they can be executed at all; tells the operator's first mistake before the first promotion does.
    pub fn version(&self, children: &Children) -> Result<String, ToolError> {
        let mut child = self.spawn(children, &self.bin.join("kudu"), &["--version".to_owned()])?;
        let output = Output::follow(&mut child);
        let limits = Limits { total: Duration::from_secs(60), idle: None };
        let status = wait(children, &mut child, &Cancel::default(), &limits, || 0)?;
        let words = output.last_words().unwrap_or_default();
        if status.success() {
            Ok(words.lines().next().unwrap_or_default().to_owned())
        } else {
            Err(ToolError::Failed("kudu --version".to_owned(), status, words))
        }
    }

    /// Starts one of the programs.
    pub fn spawn(&self, children: &Children, program: &Path, args: &[String]) -> Result<Child, ToolError> {
        let start = |source| ToolError::Start(program.to_owned(), source);
        let held = children.hold(program, args, &self.environment).map_err(start)?;
        held.release(children).map_err(start)
    }

    /// Runs `kudu` with these arguments to its end. `measure` tells a number that changes while it makes progress.
    pub fn run(
        &self,
        children: &Children,
        args: &[String],
        cancel: &Cancel,
        limits: &Limits,
        measure: impl FnMut() -> u64,
    ) -> Result<(), ToolError> {
        let name = format!(
            "kudu {}",
            args.iter().take_while(|arg| !arg.starts_with('-')).cloned().collect::<Vec<_>>().join(" ")
        );
        let mut child = self.spawn(children, &self.bin.join("kudu"), args)?;
        let output = Output::follow(&mut child);
        let status = wait(children, &mut child, cancel, limits, measure)?;
        if status.success() {
            Ok(())
        } else {
            Err(ToolError::Failed(name, status, output.last_words().unwrap_or_default()))
        }
    }
}

/// How long a tool may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// In all.
    pub total: Duration,
    /// Without progress.
    pub idle: Option<Duration>,
}

/// Says that nobody waits for a job any more.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Cancels.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a tool did not do its work.
#[derive(thiserror::Error, Debug)]
pub enum ToolError {
    /// It could not be started.
    #[error("{} cannot be started: {source}", .0.display(), source = .1)]
    Start(PathBuf, #[source] io::Error),
    /// It failed.
    #[error("'{0}' failed ({1}): {2}")]
    Failed(String, std::process::ExitStatus, String),
    /// It took too long.
    #[error("it was stopped after {0:?}, the longest that it may take")]
    TooLong(Duration),
    /// It made no progress.
    #[error("it was stopped after {0:?} without progress")]
    Idle(Duration),
    /// Nobody waits for it any more.
    #[error("it was stopped because who asked for it hung up or the launcher is ending")]
    Cancelled,
    /// It could not be waited for.
    #[error("it cannot be waited for: {0}")]
    Wait(#[source] io::Error),
}

/// Waits for a child within limits; a child that breaks one is killed and reaped.
pub fn wait(
    children: &Children,
    child: &mut Child,
    cancel: &Cancel,
    limits: &Limits,
    mut measure: impl FnMut() -> u64,
) -> Result<std::process::ExitStatus, ToolError> {
    let begin = Instant::now();
    let (mut measured, mut progress, mut last) = (begin, begin, 0);
    loop {
        if let Some(status) = children.try_wait(child).map_err(ToolError::Wait)? {
            return Ok(status);
        }
        if limits.idle.is_some() && measured.elapsed() >= MEASURE {
            measured = Instant::now();
            let now = measure();
            if now != last {
                (last, progress) = (now, measured);
            }
        }
        let broken = match limits.idle {
            _ if cancel.is_cancelled() => Some(ToolError::Cancelled),
            _ if begin.elapsed() > limits.total => Some(ToolError::TooLong(limits.total)),
            Some(idle) if progress.elapsed() > idle => Some(ToolError::Idle(idle)),
            _ => None,
        };
        if let Some(error) = broken {
            // Either fails only when the child is gone.
            let _ = child.kill();
            let _ = children.wait(child);
            return Err(error);
        }
        thread::sleep(LOOK);
    }
}
