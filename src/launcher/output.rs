//! Passes a child's output through to our standard error and keeps its end.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    process::Child,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use super::words::Words;

/// A line longer than this is passed on in pieces, in bytes.
const LONGEST_LINE: u64 = 64 * 1024;
/// How long the end of a dead child's output is waited for. It comes within a millisecond unless something else holds the pipe
/// open; and the restart of a crashed master waits for it.
const END_OF_OUTPUT: Duration = Duration::from_millis(25);

/// What a child writes.
#[derive(Debug)]
pub struct Output {
    words: Arc<Mutex<Words>>,
    ends: Vec<mpsc::Receiver<()>>,
}

impl Output {
    /// Follows both outputs of a child.
    pub fn follow(child: &mut Child) -> Self {
        let words = Arc::default();
        let mut ends = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            ends.push(pass_through(pipe, Arc::clone(&words)));
        }
        if let Some(pipe) = child.stderr.take() {
            ends.push(pass_through(pipe, Arc::clone(&words)));
        }
        Self { words, ends }
    }

    /// The last words of a child that is dead.
    pub fn last_words(&self) -> Option<String> {
        for end in &self.ends {
            // Either way the words that are here are told.
            let _ = end.recv_timeout(END_OF_OUTPUT);
        }
        self.words.lock().unwrap_or_else(PoisonError::into_inner).last()
    }
}

fn pass_through(pipe: impl Read + Send + 'static, words: Arc<Mutex<Words>>) -> mpsc::Receiver<()> {
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while let Ok(1..) = pipe.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            // A log that nobody takes must not stop kudu-master's.
            let _ = io::stderr().write_all(&line);
            words.lock().unwrap_or_else(PoisonError::into_inner).push(&line);
            line.clear();
        }
        drop(ended);
    });
    end
}
