//! Raw system calls of Linux on x86-64. The only unsafe code there is.

use core::{
    arch::{asm, global_asm},
    mem::MaybeUninit,
};

/// An error number, returned below zero by the kernel.
pub(crate) const EIO: isize = 5;
const EINTR: isize = 4;

const READ: usize = 0;
const CLOSE: usize = 3;
const NANOSLEEP: usize = 35;
const GETPID: usize = 39;
const SOCKET: usize = 41;
const CONNECT: usize = 42;
const SENDTO: usize = 44;
const RECVFROM: usize = 45;
const FSYNC: usize = 74;
const FDATASYNC: usize = 75;
const RENAME: usize = 82;
const GETDENTS64: usize = 217;
const EXIT_GROUP: usize = 231;
const OPENAT: usize = 257;
const READLINKAT: usize = 267;
const FACCESSAT: usize = 269;

const AT_FDCWD: usize = -100_isize as usize;
const O_CLOEXEC: usize = 0o2_000_000;
const O_DIRECTORY: usize = 0o200_000;
const AF_UNIX: usize = 1;
const SOCK_STREAM: usize = 1;
const SOCK_CLOEXEC: usize = 0o2_000_000;
const MSG_NOSIGNAL: usize = 0x4000;
/// Where the length of a record of `getdents64` is, in it, and where its name begins.
const DIRENT_LENGTH: usize = 16;
const DIRENT_NAME: usize = 19;
/// Longest path, and longest value of a variable, that is understood.
const LONGEST: usize = 1024;
/// Longest path of a socket, with the zero byte behind it.
const SUN_PATH: usize = 108;

// Where `errno` is, as the C library says: glibc and musl both do. Weak, so that nothing is missing where it does not.
global_asm!(
    ".weak __errno_location",
    ".type kudu_pair_errno,@function",
    ".hidden kudu_pair_errno",
    ".globl kudu_pair_errno",
    "kudu_pair_errno:",
    "mov rax, qword ptr [rip + __errno_location@GOTPCREL]",
    "ret",
);

unsafe extern "C" {
    fn kudu_pair_errno() -> Option<extern "C" fn() -> *mut i32>;
}

fn call(number: usize, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result;
    // SAFETY: the callers hand over only pointers that are valid for as long as the call lasts.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// What the C library's function returns for a kernel's result, with `errno` set.
pub(crate) fn done(result: isize) -> i32 {
    if result >= 0 {
        return 0;
    }
    // SAFETY: the assembly above returns the address of a function of this type, or null.
    if let Some(location) = unsafe { kudu_pair_errno() } {
        // SAFETY: the C library returns the address of this thread's `errno`.
        unsafe { *location() = (-result) as i32 };
    }
    -1
}

/// The real call. It is not repeated, whatever it returns.
pub(crate) fn fdatasync(fd: i32) -> isize {
    call(FDATASYNC, [fd as usize, 0, 0, 0, 0, 0])
}

/// The real call.
pub(crate) fn rename(from: *const u8, to: *const u8) -> isize {
    call(RENAME, [from as usize, to as usize, 0, 0, 0, 0])
}

/// Brings every file of a folder whose name begins with `prefix` to the disk, and then the folder. Stops at the first error, which is
/// returned below zero.
pub(crate) fn sync_all_in(folder: &Text, prefix: &[u8]) -> isize {
    let opened = call(OPENAT, [AT_FDCWD, folder.address(), O_DIRECTORY | O_CLOEXEC, 0, 0, 0]);
    let Some(folder) = Fd::new(opened) else { return opened };
    let mut names = Text::new();
    loop {
        let length = call(GETDENTS64, [folder.0, names.address(), LONGEST, 0, 0, 0]);
        let Ok(filled) = usize::try_from(length) else { return length };
        if filled == 0 {
            return call(FSYNC, [folder.0, 0, 0, 0, 0, 0]);
        }
        names.truncate(filled);
        let mut at = 0;
        while at < filled {
            let record = names.bytes().get(at..).unwrap_or_default();
            let (Some(low), Some(high)) = (record.get(DIRENT_LENGTH), record.get(DIRENT_LENGTH + 1)) else { return -EIO };
            if record.get(DIRENT_NAME..).is_some_and(|name| super::begins_with(name, prefix)) {
                let synced = sync_in(&folder, names.address() + at + DIRENT_NAME);
                if synced < 0 {
                    return synced;
                }
            }
            at += usize::from(u16::from_ne_bytes([*low, *high])).max(DIRENT_NAME);
        }
    }
}

/// Brings the file of a folder to the disk whose name, with a zero byte behind it, is at `name`.
fn sync_in(folder: &Fd, name: usize) -> isize {
    let opened = call(OPENAT, [folder.0, name, O_CLOEXEC, 0, 0, 0]);
    match Fd::new(opened) {
        Some(file) => call(FDATASYNC, [file.0, 0, 0, 0, 0, 0]),
        None => opened,
    }
}

/// This process's id.
pub(crate) fn process() -> u32 {
    call(GETPID, [0; 6]) as u32
}

/// Bytes on the stack, with a zero byte behind them for the kernel.
pub(crate) struct Text {
    bytes: [MaybeUninit<u8>; LONGEST + 1],
    length: usize,
}

impl Text {
    pub(crate) fn new() -> Self {
        let mut text = Self { bytes: [const { MaybeUninit::uninit() }; LONGEST + 1], length: 0 };
        text.truncate(0);
        text
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the first `length` bytes were written.
        unsafe { core::slice::from_raw_parts(self.bytes.as_ptr().cast(), self.length) }
    }

    pub(crate) fn truncate(&mut self, length: usize) {
        if let Some(end) = self.bytes.get_mut(length) {
            end.write(0);
            self.length = length;
        }
    }

    /// Adds bytes; none when they are too many.
    pub(crate) fn push(&mut self, more: &[u8]) -> Option<()> {
        for byte in more {
            if self.length >= LONGEST {
                return None;
            }
            self.bytes.get_mut(self.length)?.write(*byte);
            self.truncate(self.length + 1);
        }
        Some(())
    }

    /// Adds the bytes before a zero byte; none when they are too many.
    ///
    /// # Safety
    ///
    /// There is such a byte, and all before it can be read.
    pub(crate) unsafe fn copy(&mut self, text: *const u8) -> Option<()> {
        let mut at = text;
        loop {
            // SAFETY: the caller says so, and the byte before was not zero.
            match unsafe { at.read() } {
                0 => return Some(()),
                byte => self.push(&[byte])?,
            }
            // SAFETY: as above.
            at = unsafe { at.add(1) };
        }
    }

    fn address(&self) -> usize {
        self.bytes.as_ptr() as usize
    }
}

/// The path of an open file.
pub(crate) fn path_of(fd: i32, path: &mut Text) -> Option<()> {
    let mut link = Text::new();
    link.push(b"/proc/self/fd/")?;
    let mut divisor = 1_000_000_000_u32;
    let fd = u32::try_from(fd).ok()?;
    while divisor > 1 && fd / divisor == 0 {
        divisor /= 10;
    }
    while divisor > 0 {
        link.push(&[b'0' + (fd / divisor % 10) as u8])?;
        divisor /= 10;
    }
    let length = call(READLINKAT, [AT_FDCWD, link.address(), path.address(), LONGEST, 0, 0]);
    // One that fills all there is was cut off.
    let length = usize::try_from(length).ok().filter(|length| *length < LONGEST)?;
    path.truncate(length);
    Some(())
}

/// Whether something is there. What cannot be looked at is taken for absent, which holds a sync back.
pub(crate) fn exists(path: &Text) -> bool {
    call(FACCESSAT, [AT_FDCWD, path.address(), 0, 0, 0, 0]) == 0
}

/// The value of an environment variable as the process was started with it; `name` ends with `=`.
pub(crate) fn variable(name: &[u8], value: &mut Text) -> Option<()> {
    let mut path = Text::new();
    path.push(b"/proc/self/environ")?;
    let file = Fd::new(call(OPENAT, [AT_FDCWD, path.address(), O_CLOEXEC, 0, 0, 0]))?;
    // How many bytes of the name this variable began with; none once it is another one.
    let mut matched = Some(0);
    let mut chunk = Text::new();
    loop {
        let length = match call(READ, [file.0, chunk.address(), LONGEST, 0, 0, 0]) {
            error if error == -EINTR => continue,
            length => usize::try_from(length).ok().filter(|length| *length > 0)?,
        };
        chunk.truncate(length);
        for byte in chunk.bytes() {
            match matched {
                _ if *byte == 0 && matched == Some(name.len()) => return Some(()),
                _ if *byte == 0 => matched = Some(0),
                Some(at) if at == name.len() => value.push(&[*byte])?,
                Some(at) => matched = (name.get(at) == Some(byte)).then_some(at + 1),
                None => {}
            }
        }
    }
}

/// Waits, or returns earlier when a signal comes.
pub(crate) fn sleep(nanoseconds: i64) {
    let time = [0_i64, nanoseconds];
    call(NANOSLEEP, [time.as_ptr() as usize, 0, 0, 0, 0, 0]);
}

/// Ends the process as a crash does.
pub(crate) fn kill_process() -> ! {
    loop {
        call(EXIT_GROUP, [134, 0, 0, 0, 0, 0]);
    }
}

/// An open file or socket, closed when this goes.
pub(crate) struct Fd(usize);

impl Drop for Fd {
    fn drop(&mut self) {
        call(CLOSE, [self.0, 0, 0, 0, 0, 0]);
    }
}

/// `struct sockaddr_un`.
#[repr(C)]
struct Address {
    family: u16,
    path: [MaybeUninit<u8>; SUN_PATH],
}

impl Fd {
    fn new(result: isize) -> Option<Self> {
        usize::try_from(result).ok().map(Self)
    }

    /// A connection with the socket at `path`.
    pub(crate) fn connect(path: &Text) -> Option<Self> {
        let mut address = Address { family: AF_UNIX as u16, path: [const { MaybeUninit::uninit() }; SUN_PATH] };
        let mut length = 0;
        for byte in path.bytes() {
            address.path.get_mut(length)?.write(*byte);
            length += 1;
        }
        address.path.get_mut(length)?.write(0);
        let length = size_of::<u16>() + length + 1;
        let connection = Self::new(call(SOCKET, [AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, 0, 0, 0]))?;
        let connected = call(CONNECT, [connection.0, (&raw const address) as usize, length, 0, 0, 0]);
        (connected == 0).then_some(connection)
    }

    /// Sends a message that fits into the socket's buffer.
    pub(crate) fn send(&self, message: &[u8]) -> bool {
        loop {
            let sent = call(SENDTO, [self.0, message.as_ptr() as usize, message.len(), MSG_NOSIGNAL, 0, 0]);
            if sent != -EINTR {
                return usize::try_from(sent) == Ok(message.len());
            }
        }
    }

    /// Waits for one byte; none when the other side is gone.
    pub(crate) fn receive(&self) -> Option<u8> {
        let mut byte = 0_u8;
        loop {
            match call(RECVFROM, [self.0, (&raw mut byte) as usize, 1, 0, 0, 0]) {
                1 => return Some(byte),
                error if error == -EINTR => {}
                _ => return None,
            }
        }
    }
}
