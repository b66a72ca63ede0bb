//! The world: members, connections, the order of events, and time that jumps from one to the next.

use std::{collections::BTreeMap, time::Duration};

use fastrand::Rng;
use kudu_pair::{
    replication::{
        Message, Rolling,
        feed::{self, Feed},
        follower::{self, Follower},
        message::{Heartbeat, Register},
        terms,
    },
    wal::{OpId, Replicate},
};

use crate::{
    disk::{Disk, operation},
    invariants::{OP_BYTES, Witness, check_equal, check_prefix},
    network::{End, Pipe},
};

pub(crate) const PAIR: &str = "demo";
/// For so long things go wrong.
pub(crate) const WEATHER: Duration = Duration::from_secs(8);
/// After so long without faults every standby has the whole log, compared: above all limits of both ends.
const CALM: Duration = Duration::from_secs(80);
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// What is due.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Due {
    Write,
    Fault,
    Arrival(usize, End),
    Tick(usize, End),
    DigestRead(usize, End, OpId),
    LogRead(usize),
    Extended(usize, Rolling, OpId),
    ReadBack(usize, String, Rolling, OpId),
    TermRaised(usize),
    Stored { member: usize, boot: u64, connection: usize },
    BaseCopied { member: usize, boot: u64, from: usize },
    Connect { member: usize, boot: u64 },
    Order { member: usize, epoch: i64, active: usize },
    Opened { member: usize, boot: u64 },
    Restart { member: usize },
}

/// A member.
pub(crate) struct Member {
    pub(crate) disk: Disk,
    pub(crate) witness: Witness,
    pub(crate) up: bool,
    /// Grows with each new duty: what an earlier one had asked for is void.
    pub(crate) boot: u64,
    /// The life of a master that it runs, and whether that has opened its reign.
    pub(crate) reign: Option<(usize, bool)>,
    /// Whom it follows.
    pub(crate) follows: Option<usize>,
    pub(crate) connection: Option<usize>,
    pub(crate) storing: bool,
    pub(crate) copying: bool,
}

/// One life of a master: what it wrote, and what it had before.
pub(crate) struct Life {
    pub(crate) epoch: i64,
    pub(crate) log: Vec<Replicate>,
}

/// A connection; each end goes when it hangs up or its member dies.
pub(crate) struct Connection {
    pub(crate) standby: usize,
    pub(crate) active: usize,
    pub(crate) life: Option<usize>,
    pub(crate) feed: Option<Feed>,
    pub(crate) follower: Option<Follower>,
    pub(crate) to_active: Pipe,
    pub(crate) to_standby: Pipe,
    /// Last operation that was read for the feed; none before the stream begins.
    pub(crate) read: Option<OpId>,
    /// Last operation up to which the standby found its files equal over this connection.
    pub(crate) verified: Option<OpId>,
    /// Bytes received by the standby and not durable.
    pub(crate) waiting_bytes: usize,
    pub(crate) storing_bytes: usize,
    ticks: [Option<Duration>; 2],
}

impl Connection {
    pub(crate) fn pipe_to(&mut self, end: End) -> &mut Pipe {
        match end {
            End::Active => &mut self.to_active,
            End::Standby => &mut self.to_standby,
        }
    }
}

/// What happened in a simulation, to see that it tries what it should.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Deeds {
    pub(crate) streams: u64,
    pub(crate) acknowledgements: u64,
    pub(crate) promotions: u64,
    pub(crate) crashes: u64,
    pub(crate) bases: u64,
    pub(crate) gaps: u64,
    pub(crate) silences: u64,
    pub(crate) old_epochs: u64,
    pub(crate) full_windows: u64,
    pub(crate) replaced: u64,
    pub(crate) verified: u64,
    pub(crate) altered: u64,
    pub(crate) alarms: u64,
}

impl Deeds {
    pub(crate) fn plus(self, more: Self) -> Self {
        Self {
            streams: self.streams + more.streams,
            acknowledgements: self.acknowledgements + more.acknowledgements,
            promotions: self.promotions + more.promotions,
            crashes: self.crashes + more.crashes,
            bases: self.bases + more.bases,
            gaps: self.gaps + more.gaps,
            silences: self.silences + more.silences,
            old_epochs: self.old_epochs + more.old_epochs,
            full_windows: self.full_windows + more.full_windows,
            replaced: self.replaced + more.replaced,
            verified: self.verified + more.verified,
            altered: self.altered + more.altered,
            alarms: self.alarms + more.alarms,
        }
    }

    /// A simulation that never comes to one of these proves nothing about it.
    pub(crate) fn assert_all_happened(&self) {
        let counts = [
            self.streams,
            self.acknowledgements,
            self.promotions,
            self.crashes,
            self.bases,
            self.gaps,
            self.silences,
            self.old_epochs,
            self.full_windows,
            self.replaced,
            self.verified,
            self.altered,
            self.alarms,
        ];
        assert!(counts.iter().all(|count| *count > 0), "{self:?}");
    }
}

/// A pair, all that surrounds it, and what is due.
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) now: Duration,
    due: BTreeMap<(Duration, u64), Due>,
    events: u64,
    pub(crate) epoch: i64,
    pub(crate) active: usize,
    pub(crate) members: Vec<Member>,
    pub(crate) lives: Vec<Life>,
    pub(crate) connections: Vec<Connection>,
    /// Some of what was said to standbys, and in which epoch.
    pub(crate) overheard: Vec<(i64, Message)>,
    /// Largest payload of an operation.
    payload: usize,
    /// Whether disks of standbys now and then alter an operation that they store. Then no log is collected: what the active no
    /// longer has nobody can compare.
    pub(crate) alters: bool,
    pub(crate) deeds: Deeds,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let members = (0..rng.usize(2..=5))
            .map(|_| Member {
                disk: Disk::new(PAIR),
                witness: Witness::default(),
                up: true,
                boot: 0,
                reign: None,
                follows: None,
                connection: None,
                storing: false,
                copying: false,
            })
            .collect();
        // Few have operations so large that windows fill up: those cost the most time.
        let payload = if seed % 100 == 7 { OP_BYTES - 100 } else { 60 };
        Self {
            rng,
            now: Duration::ZERO,
            due: BTreeMap::new(),
            events: 0,
            epoch: 1,
            active: 0,
            members,
            lives: Vec::new(),
            connections: Vec::new(),
            overheard: Vec::new(),
            payload,
            alters: seed % 3 == 1,
            deeds: Deeds::default(),
        }
    }

    /// Lives through the weather and the calm after it.
    pub(crate) fn live(mut self) -> Deeds {
        self.begin_reign(0);
        self.tell_everybody();
        self.soon(0, Due::Write);
        self.soon(200, Due::Fault);
        self.run_until(WEATHER, |_| false);
        self.clear_up();
        let calm = self.now;
        self.run_until(calm + CALM, Self::all_have_everything);
        assert!(self.all_have_everything(), "without faults the standbys do not catch up: {}", self.shown());
        self.deeds
    }

    fn run_until(&mut self, end: Duration, done: impl Fn(&Self) -> bool) {
        while let Some(entry) = self.due.first_entry()
            && entry.key().0 < end
        {
            let (now, _) = *entry.key();
            let due = entry.remove();
            self.now = now;
            self.handle(due);
            if done(self) {
                return;
            }
        }
    }

    fn handle(&mut self, due: Due) {
        match due {
            Due::Write => self.write(),
            Due::Fault => self.fault(),
            Due::Arrival(connection, end) => self.arrive(connection, end),
            Due::Tick(connection, end) => {
                let ticks = &mut self.connections[connection].ticks;
                if ticks[end as usize] == Some(self.now) {
                    ticks[end as usize] = None;
                    match end {
                        End::Active => self.feed(connection, feed::Event::Tick),
                        End::Standby => self.follow(connection, follower::Event::Tick),
                    }
                }
            }
            Due::DigestRead(connection, End::Active, op) => {
                let digest = self.members[self.connections[connection].active].disk.digest(op);
                self.feed(connection, feed::Event::DigestRead(digest));
            }
            Due::DigestRead(connection, End::Standby, op) => {
                let digest = self.members[self.connections[connection].standby].disk.digest(op);
                self.follow(connection, follower::Event::DigestRead(digest));
            }
            Due::LogRead(connection) => self.read_log(connection),
            Due::Extended(connection, rolling, to) => self.extend(connection, rolling, to),
            Due::ReadBack(connection, generation, rolling, to) => self.read_back(connection, &generation, rolling, to),
            Due::TermRaised(connection) => self.follow(connection, follower::Event::TermRaised),
            Due::Stored { member, boot, connection } if self.lives_on(member, boot) => self.stored(member, connection),
            Due::BaseCopied { member, boot, from } if self.lives_on(member, boot) => self.base_copied(member, from),
            Due::Connect { member, boot } if self.lives_on(member, boot) => self.connect(member),
            Due::Opened { member, boot } if self.lives_on(member, boot) => {
                if let Some((_, opened)) = &mut self.members[member].reign {
                    *opened = true;
                }
            }
            Due::Order { member, epoch, active } if self.members[member].up => self.order(member, epoch, active),
            Due::Restart { member } => self.restart(member),
            // Asked for by a life that is over.
            Due::Stored { .. }
            | Due::BaseCopied { .. }
            | Due::Connect { .. }
            | Due::Opened { .. }
            | Due::Order { .. } => {}
        }
    }

    fn lives_on(&self, member: usize, boot: u64) -> bool {
        self.members[member].up && self.members[member].boot == boot
    }

    pub(crate) fn at(&mut self, time: Duration, due: Due) {
        self.events += 1;
        self.due.insert((time, self.events), due);
    }

    /// Within so many milliseconds.
    pub(crate) fn soon(&mut self, milliseconds: u64, due: Due) {
        let after = Duration::from_micros(self.rng.u64(0..=milliseconds * 1000));
        self.at(self.now + after, due);
    }

    /// Asks for a tick of an end when it wants one.
    pub(crate) fn wake(&mut self, connection: usize, end: End) {
        let now = self.now;
        let here = &mut self.connections[connection];
        let wake_at = match end {
            End::Active => here.feed.as_ref().and_then(Feed::wake_at),
            End::Standby => here.follower.as_ref().and_then(Follower::wake_at),
        };
        let Some(wake_at) = wake_at.map(|at| at.max(now)) else { return };
        if here.ticks[end as usize].is_none_or(|at| at != wake_at) {
            here.ticks[end as usize] = Some(wake_at);
            self.at(wake_at, Due::Tick(connection, end));
        }
    }

    /// The active's master writes, as long as there is one, and the weather lasts.
    fn write(&mut self) {
        if self.now < WEATHER {
            self.soon(60, Due::Write);
        }
        let active = self.active;
        let Some((life, _)) = self.members[active].reign.filter(|_| self.members[active].up) else { return };
        for _ in 0..self.rng.usize(1..5) {
            let last = self.members[active].disk.last().expect("a reign has a log");
            self.append(active, life, OpId::new(last.term, last.index + 1));
        }
        self.show_heads(active, true);
    }

    fn append(&mut self, active: usize, life: usize, id: OpId) {
        let payload = vec![self.rng.u8(..); self.rng.usize(0..=self.payload)];
        let op = operation(id, &payload);
        self.lives[life].log.push(op.clone());
        let member = &mut self.members[active];
        member.disk.append([op]);
        if self.rng.u8(..) < 80 {
            member.disk.flush();
        }
        member.witness.saw_flush(&member.disk);
    }

    fn show_heads(&mut self, active: usize, serving: bool) {
        let current_head = self.members[active].disk.last();
        for connection in 0..self.connections.len() {
            if self.connections[connection].active == active && self.connections[connection].life.is_some() {
                self.feed(connection, feed::Event::Beat(Heartbeat { current_head, serving }));
            }
        }
    }

    /// A master is started: first on a new volume, then on the log that its member holds.
    pub(crate) fn begin_reign(&mut self, member: usize) {
        let epoch = self.epoch;
        let disk = &mut self.members[member].disk;
        disk.change_anchors(|anchors| {
            anchors.epoch = anchors.epoch.max(epoch);
            anchors.generation.get_or_insert("gen-1".into());
        });
        disk.flush();
        let last = disk.last().unwrap_or_default();
        let term = (last.term + 1).max(terms::floor(epoch) + 1);
        self.lives.push(Life { epoch, log: disk.log().to_vec() });
        let life = self.lives.len() - 1;
        self.append(member, life, OpId::new(term, last.index + 1));
        self.members[member].reign = Some((life, false));
        let boot = self.members[member].boot;
        self.soon(300, Due::Opened { member, boot });
    }

    pub(crate) fn tell_everybody(&mut self) {
        for member in 0..self.members.len() {
            self.soon(400, Due::Order { member, epoch: self.epoch, active: self.active });
        }
    }

    /// An order reaches a member.
    fn order(&mut self, member: usize, epoch: i64, active: usize) {
        let here = &self.members[member];
        let known = here.disk.anchors().epoch;
        let serves = here.reign.is_some_and(|(life, _)| self.lives[life].epoch == epoch);
        if epoch < known || (epoch < self.epoch && active == member) || here.follows == Some(active) && epoch == known {
            return;
        }
        if active == member {
            if !serves {
                self.end_duty(member);
                self.begin_reign(member);
            }
            return;
        }
        self.end_duty(member);
        let here = &mut self.members[member];
        here.disk.change_anchors(|anchors| anchors.epoch = epoch);
        here.follows = Some(active);
        let boot = here.boot;
        self.at(self.now, Due::Connect { member, boot });
    }

    /// What a member does comes to its end, in order: what is being stored is finished.
    fn end_duty(&mut self, member: usize) {
        for connection in 0..self.connections.len() {
            let here = &self.connections[connection];
            if here.active == member && here.feed.is_some() {
                self.feed(connection, feed::Event::ReignEnded);
            }
        }
        if let Some(connection) = self.members[member].connection.take() {
            self.connections[connection].follower = None;
            self.close(connection, End::Active);
        }
        let here = &mut self.members[member];
        here.boot += 1;
        here.disk.flush();
        here.witness.saw_flush(&here.disk);
        (here.reign, here.follows, here.storing, here.copying) = (None, None, false, false);
    }

    fn connect(&mut self, standby: usize) {
        let here = &self.members[standby];
        let Some(active) = here.follows.filter(|_| here.connection.is_none() && !here.storing && !here.copying) else {
            return;
        };
        if !self.members[active].up {
            return self.retry(standby);
        }
        let anchors = here.disk.anchors();
        let register = Register {
            pair: PAIR.into(),
            member: name(standby),
            history: here.disk.history(),
            compare_from: anchors.compare_from.or(here.disk.last()),
        };
        let (follower, actions) = Follower::begin(self.now, register, anchors.epoch, anchors.is_unfit());
        let connection = self.connections.len();
        self.connections.push(Connection {
            standby,
            active,
            life: None,
            feed: Some(Feed::new(PAIR, self.now)),
            follower: Some(follower),
            to_active: Pipe::default(),
            to_standby: Pipe::default(),
            read: None,
            verified: None,
            waiting_bytes: 0,
            storing_bytes: 0,
            ticks: [None; 2],
        });
        self.members[standby].connection = Some(connection);
        self.carry_out(connection, actions);
        self.wake(connection, End::Active);
        self.wake(connection, End::Standby);
    }

    pub(crate) fn retry(&mut self, member: usize) {
        let boot = self.members[member].boot;
        self.at(self.now + RETRY_PAUSE, Due::Connect { member, boot });
    }

    fn restart(&mut self, member: usize) {
        self.members[member].up = true;
        // What was last ordered is told again, and now and then something older before it.
        if self.rng.u8(..) < 60 && self.epoch > 1 {
            let active = self.rng.usize(0..self.members.len());
            self.at(self.now, Due::Order { member, epoch: self.epoch - 1, active });
        }
        self.soon(300, Due::Order { member, epoch: self.epoch, active: self.active });
    }

    /// Ends the weather: everybody is there, hears the same order, and nothing goes wrong from now on.
    fn clear_up(&mut self) {
        for member in 0..self.members.len() {
            self.members[member].up = true;
        }
        self.tell_everybody();
    }

    fn all_have_everything(&self) -> bool {
        let Some((life, true)) = self.members[self.active].reign else { return false };
        let head = self.lives[life].log.last().map(Replicate::id);
        self.members.iter().enumerate().all(|(number, member)| {
            let streams = member.connection.is_some_and(|connection| {
                let here = &self.connections[connection];
                here.life == Some(life) && here.follower.as_ref().is_some_and(Follower::is_streaming)
            });
            let verified = member.connection.is_some_and(|connection| self.connections[connection].verified == head);
            let whole = number == self.active || (streams && member.disk.durable() == head && verified);
            if whole {
                check_prefix(&member.disk, &self.lives[life].log, self.alters);
                // What is before a base is no part of what a promotion replays, and is not compared.
                if let (true, Some(from), Some(head)) = (self.alters, member.disk.anchors().compare_from, head) {
                    check_equal(&member.disk, &self.lives[life].log, from, head);
                }
            }
            whole
        })
    }

    fn shown(&self) -> String {
        let members = self.members.iter().enumerate().map(|(number, member)| {
            format!(
                "{number}: up {}, follows {:?}, reign {:?}, epoch {}, durable {:?}, last {:?}, connection {:?}",
                member.up,
                member.follows,
                member.reign,
                member.disk.anchors().epoch,
                member.disk.durable(),
                member.disk.last(),
                member.connection,
            )
        });
        format!("epoch {}, active {}; {}", self.epoch, self.active, members.collect::<Vec<_>>().join("; "))
    }
}

pub(crate) fn name(member: usize) -> String {
    format!("{PAIR}-{member}")
}
