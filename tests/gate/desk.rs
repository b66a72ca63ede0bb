//! Where the gate asks, in place of a sidecar.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crate::kudu;

/// A sync that waits.
#[derive(Debug)]
pub(crate) struct Sync {
    stream: UnixStream,
    /// The segment's number.
    pub(crate) segment: u64,
}

impl Sync {
    /// Lets it return. Fails when nobody waits any more.
    pub(crate) fn permit(mut self) -> bool {
        self.stream.write_all(b"p").is_ok()
    }
}

/// A socket that gates ask at.
pub(crate) struct Desk {
    waiting: Arc<Mutex<Vec<Sync>>>,
    permits: Arc<AtomicBool>,
}

impl Desk {
    /// Opens one. It permits everything until told otherwise.
    pub(crate) fn open(socket: &Path) -> Self {
        // Left by the desk before.
        drop(std::fs::remove_file(socket));
        let listener = UnixListener::bind(socket).expect("a socket");
        let desk = Self { waiting: Arc::default(), permits: Arc::new(AtomicBool::new(true)) };
        let (waiting, permits) = (Arc::clone(&desk.waiting), Arc::clone(&desk.permits));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let mut message = [0; 16];
                stream.read_exact(&mut message).expect("a message");
                let [0, 0, 0, 1, _, _, _, _, segment @ ..] = message else { panic!("{message:?}") };
                let sync = Sync { stream, segment: u64::from_be_bytes(segment) };
                let mut waiting = waiting.lock().expect("a list");
                if permits.load(Ordering::SeqCst) {
                    sync.permit();
                } else {
                    waiting.push(sync);
                }
            }
        });
        desk
    }

    /// Permits nothing from now on.
    pub(crate) fn hold(&self) {
        let _waiting = self.waiting.lock().expect("a list");
        self.permits.store(false, Ordering::SeqCst);
    }

    /// The first sync that waits.
    pub(crate) fn next(&self) -> Sync {
        kudu::wait_for("a sync of the log", || !self.waiting.lock().expect("a list").is_empty());
        self.waiting.lock().expect("a list").remove(0)
    }

    /// Permits all that wait and everything from now on.
    pub(crate) fn release(&self) {
        let mut waiting = self.waiting.lock().expect("a list");
        self.permits.store(true, Ordering::SeqCst);
        for sync in waiting.drain(..) {
            sync.permit();
        }
    }

    /// Hangs up on all that wait, as a sidecar that dies does.
    pub(crate) fn hang_up(&self) {
        self.waiting.lock().expect("a list").clear();
    }
}
