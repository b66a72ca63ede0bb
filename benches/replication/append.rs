//! One operation on its way: from its append to the active's log until the sync gate is permitted, in a pair that waits for its
//! standby. Against what that cannot be done without: one write with `fdatasync`, and one round trip over loopback.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::{fs::FileExt as _, net::UnixStream},
    thread,
    time::{Duration, Instant},
};

use crate::{
    stand_in::StandIn,
    stats::{Better, Row, Trials},
};

/// Operations that do not count.
const WARM_UP: usize = 20;

/// Appends so many operations, one after the other, and does what the machine needs for that in turn with them.
pub(crate) fn run(operations: usize) -> Row {
    let mut pair = StandIn::start_synchronous(1);
    let mut peer = Peer::new(pair.op_bytes());
    let mut arms =
        ["fdatasync and a round trip", "of it fdatasync", "pair, to the permit", "pair, while the active syncs too"]
            .map(|name| (name.to_owned(), Trials::default()));
    for number in 0..WARM_UP + operations {
        let (synced, answered) = (peer.sync(), peer.ask());
        let alone = to_permit(&mut pair, false);
        let both = to_permit(&mut pair, true);
        if number >= WARM_UP {
            for ((_, arm), took) in arms.iter_mut().zip([synced + answered, synced, alone, both]) {
                arm.add(took.as_secs_f64() * 1000.0);
            }
        }
    }
    Row {
        title: "From an append to its copy on a standby's disk",
        unit: "ms",
        better: Better::Lower,
        target: "at most 1.5 × fdatasync and a round trip",
        arms: arms.into(),
    }
}

/// Appends an operation and waits for its permit, as the gate does; with `syncs` it makes the real call meanwhile, on the disk that
/// the standby of this machine uses too.
fn to_permit(pair: &mut StandIn, syncs: bool) -> Duration {
    let begin = Instant::now();
    pair.append(1);
    let mut gate = ask(pair);
    if syncs {
        pair.sync();
    }
    let mut answer = [0];
    gate.read_exact(&mut answer).expect("an answer");
    let took = begin.elapsed();
    assert_eq!(answer, *b"p");
    // The next append is not to wait for this.
    pair.sync();
    took
}

/// What the sync gate says when a sync of the first segment begins.
fn ask(pair: &StandIn) -> UnixStream {
    let mut message = [0; 16];
    // Version, process, number of the segment.
    for (at, number) in [(3, 1), (7, 1), (15, 1)] {
        message[at] = number;
    }
    let mut gate = UnixStream::connect(pair.active.path("gate.sock")).expect("the sidecar's socket");
    gate.write_all(&message).expect("the sidecar's socket");
    gate
}

/// The machine's own `fdatasync` and loopback.
struct Peer {
    bytes: Vec<u8>,
    file: File,
    written: u64,
    other: TcpStream,
}

impl Peer {
    /// With messages of so many bytes, in a folder where members have theirs.
    fn new(bytes: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let other = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let (mut stream, _) = listener.accept().expect("a connection");
        for stream in [&other, &stream] {
            stream.set_nodelay(true).expect("a connection");
        }
        thread::spawn(move || {
            let mut message = vec![0; bytes];
            while stream.read_exact(&mut message).is_ok() && stream.write_all(&message).is_ok() {}
        });
        Self { bytes: vec![7; bytes], file: tempfile::tempfile().expect("a file"), written: 0, other }
    }

    /// Appends to a file and makes that durable.
    fn sync(&mut self) -> Duration {
        let begin = Instant::now();
        self.file.write_all_at(&self.bytes, self.written).expect("a file that can be written");
        self.file.sync_data().expect("a file that can be synced");
        self.written += self.bytes.len() as u64;
        begin.elapsed()
    }

    /// Sends bytes and waits until they have come back.
    fn ask(&mut self) -> Duration {
        let mut answer = vec![0; self.bytes.len()];
        let begin = Instant::now();
        self.other.write_all(&self.bytes).and_then(|()| self.other.read_exact(&mut answer)).expect("an answer");
        begin.elapsed()
    }
}
