//! A way from a standby to its active that breaks at any byte.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    thread,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::oneshot,
};

/// Where the random lengths begin; the same in each run.
const SEED: u64 = 4;
/// The longest that a connection lives while connections are cut, in bytes of both directions.
const LONGEST: u64 = 6000;

/// Carries bytes between standby and active; ends when dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddrV4,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    cutting: AtomicBool,
    cuts: AtomicU64,
}

impl Proxy {
    /// Listens at `at` and connects to `to` from `from`, by which the active knows its standby.
    pub(crate) fn start(at: Ipv4Addr, to: SocketAddr, from: Ipv4Addr) -> Self {
        let address = SocketAddrV4::new(at, 7061);
        let listener = std::net::TcpListener::bind(address).expect("an address of the proxy's own");
        listener.set_nonblocking(true).expect("a socket");
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let runs = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = accept(listener, to, from, runs) => {}
                }
            });
        });
        Self { address, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// From now on each connection ends after a random number of bytes, or none does.
    pub(crate) fn cut(&self, cutting: bool) {
        self.shared.cutting.store(cutting, Ordering::SeqCst);
    }

    /// How many connections were cut.
    pub(crate) fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It panicked only if the test does already.
            drop(thread.join());
        }
    }
}

async fn accept(listener: std::net::TcpListener, to: SocketAddr, from: Ipv4Addr, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    let mut random = SEED;
    while let Ok((standby, _)) = listener.accept().await {
        let bytes = i64::try_from(next(&mut random) % LONGEST).unwrap_or_default();
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // The standby sees an end of its connection, as it would without the proxy.
            let Ok(active) = connect(to, from).await else { return };
            carry(standby, active, Arc::new(AtomicI64::new(bytes)), &shared).await;
        });
    }
}

async fn connect(to: SocketAddr, from: Ipv4Addr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    socket.connect(to).await
}

/// Carries bytes both ways until an end hangs up, or the bytes that the connection may carry are used up.
async fn carry(standby: TcpStream, active: TcpStream, left: Arc<AtomicI64>, shared: &Shared) {
    let (from_standby, to_standby) = standby.into_split();
    let (from_active, to_active) = active.into_split();
    tokio::select! {
        () = pass(from_standby, to_active, &left, shared) => {}
        () = pass(from_active, to_standby, &left, shared) => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, left: &AtomicI64, shared: &Shared) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let mut bytes = &buffer[..read];
        let cut = shared.cutting.load(Ordering::SeqCst) && {
            let length = i64::try_from(read).unwrap_or(i64::MAX);
            let before = left.fetch_sub(length, Ordering::SeqCst);
            bytes = &bytes[..usize::try_from(before.clamp(0, length)).unwrap_or_default()];
            before < length
        };
        if to.write_all(bytes).await.is_err() {
            return;
        }
        if cut {
            shared.cuts.fetch_add(1, Ordering::SeqCst);
            return;
        }
    }
}

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
