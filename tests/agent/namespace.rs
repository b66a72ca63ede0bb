//! Network namespaces.

use std::{
    fs::File,
    os::fd::AsFd as _,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

static MADE: AtomicU32 = AtomicU32::new(0);

/// A network namespace of its own; goes with the test.
pub(crate) struct Namespace(String);

impl Namespace {
    /// Makes one, with its loopback up.
    pub(crate) fn new(what: &str) -> Self {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let made = Self(format!("kudu-pair-test-{}-{number}-{what}", std::process::id()));
        run("ip", &["netns", "add", &made.0]);
        made.ip("link set lo up");
        made
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// `ip` with words in this namespace.
    pub(crate) fn ip(&self, words: &str) {
        let words: Vec<_> = ["-n", &self.0].into_iter().chain(words.split(' ')).collect();
        run("ip", &words);
    }

    /// A program in this namespace.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) {
        let words: Vec<_> = ["netns", "exec", &self.0, program].into_iter().chain(arguments.iter().copied()).collect();
        run("ip", &words);
    }

    /// Does something on a thread in this namespace; sockets that it opens stay there.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let file = File::open(format!("/run/netns/{}", self.0)).expect("the namespace");
        let entered = move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("may enter the namespace");
            work()
        };
        thread::scope(|scope| scope.spawn(entered).join()).expect("no panic in the namespace")
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).stderr(Stdio::null()).status();
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; `deploy/local/cluster build` installs it"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?} (these tests need root): {said}");
}
