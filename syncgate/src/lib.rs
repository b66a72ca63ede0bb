//! The sync gate: takes the place of `fdatasync` in kudu-master (`LD_PRELOAD`), and returns from that of the system catalog's
//! log only once the sidecar permits it.
//!
//! Kudu acknowledges an operation when the `fdatasync` behind it has returned (`--log_force_fsync_all`). So an operation that
//! the standbys do not have is never acknowledged: **for the log, this function returns 0 only after the real call
//! succeeded and the sidecar answered**. Whatever goes wrong on the way to the sidecar, it waits and asks again; it has no way
//! to give up. What ends the wait for good is SIGKILL, which the launcher sends when the Lease is over.
//!
//! - The real call and the sidecar's work overlap: the sidecar is told first.
//! - While Kudu rewrites its log at a start, the folder `<tablet>.recovery` is there. Nothing is acknowledged to anybody then,
//!   and nothing is held back. Nothing is synced either, one operation at a time: **the folder with the old log is only renamed, which is
//!   how Kudu begins to delete it, once all of the new log is on the disk** (`rename` is taken the place of too).
//! - Should Kudu end the rewriting in another way, the first sync of the live log brings the whole log to the disk before anything is
//!   permitted: that some was not is the one thing that is remembered in memory.
//! - Each call has a connection of its own, so any number of threads may be here at once.
//! - A failed sync is returned as it is, at once.
//!
//! It makes raw system calls only, so it loads under any C library. The one symbol that it asks for is weak: where `errno` is.
//! `docs/protocol.md` describes the messages.

#![no_std]

mod sys;

use core::sync::atomic::{AtomicBool, Ordering};

use sys::{Fd, Text};

/// Folder of the system catalog's log, below the folder `wals`.
const CATALOG: &[u8] = b"/wals/00000000000000000000000000000000/wal-";
/// How much of [`CATALOG`] names a segment in the folder, and not the folder.
const SEGMENT: usize = b"/wal-".len();
/// How the names of segments begin.
const SEGMENT_NAME: &[u8] = b"wal-";
/// What Kudu calls the old log's folder while it writes the new one.
const RECOVERY: &[u8] = b".recovery";
/// The environment variable with the path of the sidecar's socket.
const SOCKET: &[u8] = b"KUDU_PAIR_SYNC_GATE=";
/// Version of the messages.
const VERSION: u32 = 1;
/// What the sidecar answers.
const PERMITTED: u8 = b'p';
/// Pause before a sidecar that is not there is asked again.
const PAUSE_NS: i64 = 10_000_000;

/// Whether a log that was rewritten is not all on the disk.
static IS_BEHIND: AtomicBool = AtomicBool::new(false);

/// `fdatasync` of the C library.
#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(fd: i32) -> i32 {
    let mut path = Text::new();
    match Segment::of(fd, &mut path) {
        Some(segment) if segment.is_rewritten => {
            IS_BEHIND.store(true, Ordering::SeqCst);
            0
        }
        Some(segment) => {
            path.truncate(path.bytes().len() - RECOVERY.len());
            let synced = if IS_BEHIND.load(Ordering::SeqCst) { catch_up(&path) } else { 0 };
            if synced < 0 { sys::done(synced) } else { gated(fd, segment) }
        }
        None => sys::done(sys::fdatasync(fd)),
    }
}

/// `rename` of the C library.
///
/// # Safety
///
/// As for the C library's: both point at texts that end with a zero byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const u8, to: *const u8) -> i32 {
    let mut path = Text::new();
    // SAFETY: the caller says so.
    if unsafe { path.copy(from) }.is_some() && old_log(&mut path).is_some() {
        let synced = catch_up(&path);
        if synced < 0 {
            return sys::done(synced);
        }
    }
    sys::done(sys::rename(from, to))
}

/// Brings a log to the disk that was written without syncs; returns an error below zero.
fn catch_up(log: &Text) -> isize {
    let synced = sys::sync_all_in(log, SEGMENT_NAME);
    if synced >= 0 {
        IS_BEHIND.store(false, Ordering::SeqCst);
    }
    synced
}

/// Turns the path of the catalog's old log into that of the new one; none for any other path.
fn old_log(path: &mut Text) -> Option<()> {
    let length = path.bytes().len().checked_sub(RECOVERY.len())?;
    let is_old = begins_with(path.bytes().get(length..)?, RECOVERY);
    path.truncate(length);
    let folder = CATALOG.get(..CATALOG.len() - SEGMENT)?;
    let is_catalog = find(path.bytes(), folder)? + folder.len() == length;
    (is_old && is_catalog).then_some(())
}

/// A segment of the catalog's log.
#[derive(Clone, Copy)]
struct Segment {
    number: u64,
    /// Whether Kudu is writing it from an old log, which is still there.
    is_rewritten: bool,
}

impl Segment {
    /// The segment that `fd` is.
    fn of(fd: i32, path: &mut Text) -> Option<Self> {
        sys::path_of(fd, path)?;
        let at = find(path.bytes(), CATALOG)?;
        let number = digits(path.bytes().get(at + CATALOG.len()..)?)?;
        path.truncate(at + CATALOG.len() - SEGMENT);
        path.push(RECOVERY)?;
        Some(Self { number, is_rewritten: sys::exists(path) })
    }
}

fn gated(fd: i32, segment: Segment) -> i32 {
    let mut socket = Text::new();
    if sys::variable(SOCKET, &mut socket).is_none() {
        // Loaded, but not told whom to ask: nothing can ever be acknowledged.
        return sys::done(-sys::EIO);
    }
    let asked = ask(&socket, segment);
    let synced = sys::fdatasync(fd);
    if synced < 0 {
        return sys::done(synced);
    }
    let mut asked = asked;
    loop {
        if let Some(connection) = asked
            && connection.receive() == Some(PERMITTED)
        {
            return 0;
        }
        sys::sleep(PAUSE_NS);
        asked = ask(&socket, segment);
    }
}

/// Tells the sidecar that a sync has begun. Everything that it covers is in the file by now.
fn ask(socket: &Text, segment: Segment) -> Option<Fd> {
    let connection = Fd::connect(socket)?;
    let [v0, v1, v2, v3] = VERSION.to_be_bytes();
    let [p0, p1, p2, p3] = sys::process().to_be_bytes();
    let [s0, s1, s2, s3, s4, s5, s6, s7] = segment.number.to_be_bytes();
    let message = [v0, v1, v2, v3, p0, p1, p2, p3, s0, s1, s2, s3, s4, s5, s6, s7];
    connection.send(&message).then_some(connection)
}

/// Where `wanted` begins in `bytes`, the last time.
fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut at = bytes.len().checked_sub(wanted.len())?;
    loop {
        if begins_with(bytes.get(at..)?, wanted) {
            return Some(at);
        }
        at = at.checked_sub(1)?;
    }
}

/// Compares byte by byte: a comparison of slices would call the C library.
fn begins_with(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.len() >= wanted.len() && bytes.iter().zip(wanted).all(|(one, other)| one == other)
}

fn digits(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    let mut number = 0_u64;
    for byte in bytes {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
    }
    Some(number)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::kill_process()
}
