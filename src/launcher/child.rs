//! The launcher's child processes: how they begin, and how all of them are reaped.

use std::{
    collections::HashSet,
    ffi::OsString,
    fs, io,
    io::Write,
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::process::{Pid, PidfdFlags, WaitOptions, getpid, pidfd_open, waitpid};

use super::exec;

/// All children of the launcher that it started itself.
#[derive(Debug, Default)]
pub struct Children {
    own: Mutex<HashSet<u32>>,
}

/// A child that waits for the word to execute its program; see [`exec`]. Dropped, it never does.
#[derive(Debug)]
pub struct Held {
    child: Child,
    pidfd: OwnedFd,
}

impl Children {
    /// Starts a child, held back before its program.
    ///
    /// The kernel kills it when the *thread* that called this ends: call it only from threads that live as long as the launcher.
    pub fn hold(&self, program: &Path, args: &[String], environment: &[(&'static str, OsString)]) -> io::Result<Held> {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg(exec::SUBCOMMAND)
            .arg(getpid().as_raw_nonzero().to_string())
            .arg("--")
            .arg(program)
            .args(args)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C in a terminal is for the launcher, which decides what it means.
            .process_group(0);
        let mut child = self.spawn(&mut command)?;
        match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Held { child, pidfd }),
            Err(error) => {
                let _ = child.kill();
                let _ = self.wait(&mut child);
                Err(error.into())
            }
        }
    }

    /// Starts a child.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        // Held until the child is known, or the reaper of orphans could take its exit status.
        let mut own = self.own();
        let child = command.spawn()?;
        own.insert(child.id());
        Ok(child)
    }

    /// Waits until a child is dead and reaped.
    pub fn wait(&self, child: &mut Child) -> io::Result<ExitStatus> {
        let status = child.wait();
        self.own().remove(&child.id());
        status
    }

    /// Whether a child is dead and reaped by now.
    pub fn try_wait(&self, child: &mut Child) -> io::Result<Option<ExitStatus>> {
        let status = child.try_wait()?;
        if status.is_some() {
            self.own().remove(&child.id());
        }
        Ok(status)
    }

    /// Reaps processes that were left to us because we are process 1 of the container. Own children are left to whoever waits for them.
    pub fn reap_orphans(&self) {
        let own = self.own();
        for orphan in zombies().filter(|pid| !own.contains(&pid.as_raw_nonzero().get().unsigned_abs())) {
            // It fails only when it is no child of ours, or gone.
            let _ = waitpid(Some(orphan), WaitOptions::NOHANG);
        }
    }

    fn own(&self) -> MutexGuard<'_, HashSet<u32>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Process id.
    pub fn pid(&self) -> i32 {
        Pid::from_child(&self.child).as_raw_nonzero().get()
    }

    /// A descriptor that means this process and no other.
    pub fn pidfd(&self) -> io::Result<OwnedFd> {
        self.pidfd.try_clone()
    }

    /// Lets the child execute its program. It fails when the child is dead already.
    pub fn release(mut self, children: &Children) -> io::Result<Child> {
        let mut stdin = self.child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        match stdin.write_all(exec::GO) {
            Ok(()) => Ok(self.child),
            Err(error) => {
                drop(stdin);
                self.give_up(children);
                Err(error)
            }
        }
    }

    /// Kills and reaps the child.
    pub fn give_up(mut self, children: &Children) {
        // Either fails only when the child is gone.
        let _ = self.child.kill();
        let _ = children.wait(&mut self.child);
    }
}

/// Dead processes that wait for us to reap them.
fn zombies() -> impl Iterator<Item = Pid> {
    let parent = getpid();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(move |entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name in parentheses may contain anything.
        let (_, after_name) = stat.rsplit_once(')')?;
        let mut fields = after_name.split_whitespace();
        let (state, ppid) = (fields.next()?, fields.next()?.parse().ok()?);
        (state == "Z" && Pid::from_raw(ppid) == Some(parent)).then(|| Pid::from_raw(pid)).flatten()
    })
}
