//! Clients of a kudu-master that was stopped wait here until the Service leads elsewhere.
//!
//! Whoever is refused tries again, and waits longer each time: Kudu's Java client up to a second after a switch that took
//! less. A connection that is taken and not answered costs it nothing, and when it is reset the client comes again at once.
//! So the sidecar takes the dead kudu-master's place at its port, which both containers of the pod share, and says
//! nothing. Nobody is served here, whatever is asked.

use std::{io, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep, sleep_until, timeout_at},
};

/// A switch takes less than a second as a rule. After so long without one clients are refused, so that they tell their users.
const PATIENCE: Duration = Duration::from_secs(10);
/// Nodes learn of the Service's new end at different moments; so long some may still lead here.
const LATECOMERS: Duration = Duration::from_secs(3);
/// A latecomer is kept so long before it is sent away: tries without a pause would make its own pauses longer.
const LATECOMER_STAY: Duration = Duration::from_millis(50);
/// Connections that are kept at once; more are refused as if there were no room. Far below the limit of open files.
const SEATS: usize = 1024;
/// Pause after a connection that could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// The room of one member; closed until a reign ends.
#[derive(Debug)]
pub(super) struct WaitingRoom {
    leads_elsewhere: Option<watch::Receiver<bool>>,
    keeper: Option<JoinHandle<()>>,
}

impl Drop for WaitingRoom {
    fn drop(&mut self) {
        if let Some(keeper) = &self.keeper {
            keeper.abort();
        }
    }
}

impl WaitingRoom {
    /// A closed one. `leads_elsewhere`: whether the Service leads to another member; without a Service it stays closed.
    pub(super) fn new(leads_elsewhere: Option<watch::Receiver<bool>>) -> Self {
        Self { leads_elsewhere, keeper: None }
    }

    /// Opens it at the address of a kudu-master that is dead. Without it clients are refused, which they survive as well.
    pub(super) async fn open(&mut self, address: &str) {
        self.close().await;
        let Some(leads_elsewhere) = self.leads_elsewhere.clone() else { return };
        match TcpListener::bind(address).await {
            Ok(listener) => {
                tracing::info!(address, "clients wait");
                self.keeper = Some(tokio::spawn(keep(listener, leads_elsewhere)));
            }
            Err(error) => tracing::warn!(address, %error, "clients cannot wait and are refused"),
        }
    }

    /// Closes it, so that kudu-master can have its port; who waits is sent away.
    pub(super) async fn close(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
            // Nothing listens any more only when the task is over.
            let _ = keeper.await;
        }
    }
}

/// Keeps a room until nobody is led here any more.
async fn keep(listener: TcpListener, mut leads_elsewhere: watch::Receiver<bool>) {
    let end = Instant::now() + PATIENCE;
    let mut waiting = Vec::new();
    loop {
        tokio::select! {
            elsewhere = leads_elsewhere.wait_for(|elsewhere| *elsewhere) => match elsewhere {
                Ok(_) => break,
                Err(_) => return,
            },
            client = accept(&listener) => waiting.extend(client.filter(|_| waiting.len() < SEATS)),
            () = sleep_until(end) => return,
        }
    }
    tracing::info!(clients = waiting.len(), "clients are sent to the new active");
    drop(waiting);
    send_away(&listener).await;
}

/// Sends latecomers away, each after a moment.
async fn send_away(listener: &TcpListener) {
    let mut latecomers = JoinSet::new();
    let end = Instant::now() + LATECOMERS;
    while let Ok(client) = timeout_at(end, accept(listener)).await {
        while latecomers.try_join_next().is_some() {}
        if let Some(client) = client.filter(|_| latecomers.len() < SEATS) {
            latecomers.spawn(async move {
                sleep(LATECOMER_STAY).await;
                drop(client);
            });
        }
    }
}

/// The next client. When its connection is dropped it is reset: the client learns of it at once, and the port is free.
async fn accept(listener: &TcpListener) -> Option<TcpStream> {
    let accepted = async { listener.accept().await.and_then(|(client, _)| reset_on_close(client)) };
    match accepted.await {
        Ok(client) => Some(client),
        Err(error) => {
            tracing::debug!(%error, "a connection could not be taken");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

fn reset_on_close(client: TcpStream) -> io::Result<TcpStream> {
    client.set_zero_linger()?;
    Ok(client)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::{io::AsyncReadExt as _, time::timeout};

    use super::*;

    /// An address at which nothing listens.
    async fn free_address() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().to_string()
    }

    async fn is_kept(client: &mut TcpStream) -> bool {
        timeout(LATECOMER_STAY * 4, client.read_u8()).await.is_err()
    }

    async fn is_reset(client: &mut TcpStream) -> bool {
        client.read_u8().await.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
    }

    #[tokio::test]
    async fn clients_are_kept_until_the_service_leads_elsewhere() {
        let (elsewhere, leads_elsewhere) = watch::channel(false);
        let address = free_address().await;
        let mut room = WaitingRoom::new(Some(leads_elsewhere));
        room.open(&address).await;
        let mut clients = Vec::new();
        for _ in 0..2 {
            clients.push(TcpStream::connect(&address).await.unwrap());
        }
        for client in &mut clients {
            assert!(is_kept(client).await);
        }
        elsewhere.send_replace(true);
        for client in &mut clients {
            assert!(is_reset(client).await);
        }
        let mut latecomer = TcpStream::connect(&address).await.unwrap();
        assert!(is_reset(&mut latecomer).await);
    }

    #[tokio::test]
    async fn a_room_that_is_closed_leaves_the_port_to_kudu_master() {
        let (_elsewhere, leads_elsewhere) = watch::channel(false);
        let address = free_address().await;
        let mut room = WaitingRoom::new(Some(leads_elsewhere));
        room.open(&address).await;
        let mut client = TcpStream::connect(&address).await.unwrap();
        assert!(is_kept(&mut client).await);
        room.close().await;
        assert!(is_reset(&mut client).await);
        TcpListener::bind(&address).await.unwrap();
    }

    #[tokio::test]
    async fn a_port_that_is_taken_and_a_member_without_a_service_refuse_as_before() {
        let (_elsewhere, leads_elsewhere) = watch::channel(false);
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut room = WaitingRoom::new(Some(leads_elsewhere));
        room.open(&taken.local_addr().unwrap().to_string()).await;
        assert!(room.keeper.is_none());
        let address = free_address().await;
        let mut room = WaitingRoom::new(None);
        room.open(&address).await;
        assert_eq!(TcpStream::connect(&address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
}
