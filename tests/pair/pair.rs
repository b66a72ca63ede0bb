//! A pair with a tablet server and a client.

use std::time::{Duration, Instant};

use kudu_pair::{
    api::{MemberState, Role},
    failover::member::MemberReport,
    wal::OpId,
};

use crate::{
    kudu::{self, Home, TabletServer},
    member::{Member, PAIR, PATIENCE},
    reigns,
};

/// How long a tablet server may take to tell a new master of its tablets.
const SETTLING: Duration = Duration::from_secs(10);

/// Two members that serve at one address, as they do behind a Service.
pub(crate) struct Pair {
    pub(crate) a: Member,
    pub(crate) b: Member,
    /// The client's view: only its address is used.
    pub(crate) client: Home,
    tablets: Vec<TabletServer>,
    begun: Instant,
}

impl Pair {
    /// Two members that know each other; nothing runs yet.
    pub(crate) fn new() -> Self {
        let client = Home::new(kudu::loopback());
        let rpc = client.address.to_string();
        let (a, b) = (Member::new("a", &rpc), Member::new("b", &rpc));
        let pair = Self { a, b, client, tablets: Vec::new(), begun: Instant::now() };
        pair.configure();
        pair
    }

    /// Writes the configuration of both.
    pub(crate) fn configure(&self) {
        self.a.configure(PAIR, &[&self.b], None);
        self.b.configure(PAIR, &[&self.a], Some(&self.a));
    }

    /// A pair whose a serves a new catalog and whose b streams it, with a tablet server.
    pub(crate) fn running() -> Self {
        let mut pair = Self::new();
        pair.begin();
        pair
    }

    /// Starts the members, forms the catalog on a, waits until b streams it, and adds a tablet server.
    pub(crate) fn begin(&mut self) {
        self.a.start();
        self.b.start();
        self.a.order(&["init"]);
        self.a.wait_until("a serves", is_serving);
        self.b.wait_until("b streams", is_streaming);
        self.add_tablet_server();
    }

    /// Lets b take a new base when a promotion is predicted to replay so long.
    pub(crate) fn refresh_after(&mut self, replay_milliseconds: u32) {
        self.b.refresh = serde_json::json!({ "replayMilliseconds": replay_milliseconds });
        self.b.configure(PAIR, &[&self.a], Some(&self.a));
    }

    /// Lets b find a's sidecar at another address.
    pub(crate) fn route(&self, link: impl ToString) {
        self.b.configure_by(PAIR, &[&self.a], Some((link.to_string(), &self.a)));
    }

    /// Starts a tablet server that reports to the pair.
    pub(crate) fn add_tablet_server(&mut self) {
        self.tablets.push(TabletServer::start(&self.client));
    }

    /// Creates, alters, renames and drops tables whose names begin with `prefix`, over at least two flushes.
    pub(crate) fn change_catalog(&self, prefix: &str) {
        let name = |what: &str| format!("{prefix}_{what}");
        for what in ["kept", "renamed_from", "dropped", "altered"] {
            self.client.create_table(&name(what), 4);
        }
        std::thread::sleep(Duration::from_millis(1500));
        self.client.table("rename_table", &[&name("renamed_from"), &name("renamed_to")]);
        self.client.table("delete", &[&name("dropped"), "--reserve_seconds=0"]);
        self.client.table("rename_column", &[&name("altered"), "name", "title"]);
        self.client.table("add_column", &[&name("altered"), "added", "INT32"]);
        self.client.table("set_comment", &[&name("kept"), "what the standby must not lose"]);
        std::thread::sleep(Duration::from_millis(1500));
        self.client.create_table(&name("late"), 2);
    }

    /// The catalog as clients see it, once all its tablets are placed.
    pub(crate) fn catalog(&self) -> Vec<String> {
        let tablets = || self.client.tablets(&[]);
        let mut before = tablets();
        kudu::wait_for("the catalog to come to rest", || {
            let old = std::mem::replace(&mut before, tablets());
            old == before
        });
        self.client.catalog()
    }

    /// Asserts that the catalog is as before, once the tablet server has reported its tablets.
    #[track_caller]
    pub(crate) fn assert_catalog(&self, before: &[String]) {
        let begin = Instant::now();
        let mut now = self.catalog();
        while now != before && begin.elapsed() < SETTLING {
            now = self.catalog();
        }
        assert_eq!(now, before);
    }

    /// The names of all tables.
    pub(crate) fn tables(&self) -> Vec<String> {
        let mut names: Vec<_> = self.client.table("list", &[]).lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Deletes the replicas of a table from the tablet server, whether a master knows it or not. Returns the tablets' ids.
    pub(crate) fn lose_replicas(&self, table: &str) -> Vec<String> {
        let master = self.client.address.to_string();
        let server = kudu::kudu(["tserver", "list", &master, "--columns=rpc-addresses", "--format=csv"]);
        let server = server.trim();
        let listed = kudu::kudu(["remote_replica", "list", server]);
        let mut ids = Vec::new();
        for line in listed.lines() {
            match line.split_once(": ") {
                Some(("Tablet id", id)) => ids.push(id.to_owned()),
                Some(("Table name", name)) if name != table => drop(ids.pop()),
                _ => {}
            }
        }
        for id in &ids {
            kudu::kudu(["remote_replica", "delete", server, id, "a test"]);
        }
        ids
    }

    /// Waits until a client is answered. Returns how long that took.
    pub(crate) fn wait_until_served(&self) -> Duration {
        let begin = Instant::now();
        let address = self.client.address.to_string();
        kudu::wait_for("an answer to a client", || {
            // A closed port is seen sooner than by the tool.
            std::net::TcpStream::connect(self.client.address).is_ok()
                && kudu::try_kudu(["table", "list", &address, "--timeout_ms=3000"]).status.success()
        });
        begin.elapsed()
    }

    /// Asserts that nothing went wrong in the pair's life that its records show.
    #[track_caller]
    pub(crate) fn check(&self) {
        let lives = reigns::assert_one_master_at_a_time(&[&self.a, &self.b]);
        println!(
            "{lives} lives of a kudu-master, one at a time; the test took {:.1} s",
            self.begun.elapsed().as_secs_f64()
        );
    }
}

/// Waits until the standby has all that the active has, and the active writes nothing more. Returns the head.
#[track_caller]
pub(crate) fn wait_until_equal(active: &Member, standby: &Member) -> OpId {
    let begin = Instant::now();
    loop {
        let head = active.status().head;
        let there = standby.status();
        if let Some(head) = head
            && there.state == MemberState::Streaming
            && there.head == Some(head)
            && active.status().head == Some(head)
        {
            return head;
        }
        assert!(begin.elapsed() < PATIENCE, "{} stays behind {head:?}: {there:#?}", standby.name);
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn is_serving(report: &MemberReport) -> bool {
    (report.role, report.state) == (Role::Active, MemberState::Serving)
}

pub(crate) fn is_streaming(report: &MemberReport) -> bool {
    (report.role, report.state) == (Role::Standby, MemberState::Streaming)
}

/// Whether the member has ended its reign and its log will not change.
pub(crate) fn stands_down(report: &MemberReport) -> bool {
    report.state == MemberState::StandingDown && report.master_stopped
}
