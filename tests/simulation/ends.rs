//! The shells around both ends: they carry out actions on simulated disks and connections, in order.

use kudu_pair::{
    api::UnfitLog,
    replication::{
        HangUp, Message, Rolling,
        feed::{self, Identified, Reign},
        follower::{self, ReadBack},
        message::Heartbeat,
    },
    wal::{OpId, Replicate},
};

use crate::{
    disk::Disk,
    invariants::{READ_BYTES, check_append, check_differs, check_equal, check_group, check_prefix, check_window},
    network::{Arrival, End},
    world::{Due, World},
};

/// Operations that one reading for a digest reads at most.
const MOST_AT_ONCE: i64 = 40;

impl World {
    /// Something reaches an end, if it reads.
    pub(crate) fn arrive(&mut self, connection: usize, end: End) {
        let here = &mut self.connections[connection];
        let reads = match end {
            End::Active => here.feed.is_some(),
            End::Standby => here.follower.as_ref().is_some_and(follower::Follower::listens),
        };
        if !reads {
            return;
        }
        match (here.pipe_to(end).receive(self.now), end) {
            (None, _) => {}
            (Some(Arrival::Broken), End::Active) => self.drop_feed(connection),
            (Some(Arrival::Broken), End::Standby) => self.drop_follower(connection),
            (Some(Arrival::Frame(epoch, message)), End::Active) => {
                self.feed(connection, feed::Event::Received { epoch, message });
            }
            (Some(Arrival::Frame(epoch, message)), End::Standby) => self.hear(connection, epoch, message),
        }
    }

    pub(crate) fn close(&mut self, connection: usize, towards: End) {
        let at = self.now + self.delay();
        let at = self.connections[connection].pipe_to(towards).close(at);
        self.at(at, Due::Arrival(connection, towards));
    }

    pub(crate) fn send(&mut self, connection: usize, towards: End, epoch: i64, message: Message) {
        if towards == End::Standby && epoch > 0 && self.rng.u8(..) < 16 {
            self.overheard.push((epoch, message.clone()));
        }
        let at = self.now + self.delay();
        let at = self.connections[connection].pipe_to(towards).send(at, epoch, message);
        self.at(at, Due::Arrival(connection, towards));
    }

    fn drop_feed(&mut self, connection: usize) {
        if self.connections[connection].feed.take().is_some() {
            self.close(connection, End::Standby);
        }
    }

    /// The standby's end is over: it looks for the active again when nothing is being stored.
    fn drop_follower(&mut self, connection: usize) {
        if self.connections[connection].follower.take().is_none() {
            return;
        }
        self.close(connection, End::Active);
        let standby = self.connections[connection].standby;
        self.members[standby].connection = None;
        if !self.members[standby].storing && !self.members[standby].copying {
            self.retry(standby);
        }
    }

    /// An event for a feed.
    pub(crate) fn feed(&mut self, connection: usize, event: feed::Event) {
        let Some(feed) = &mut self.connections[connection].feed else { return };
        let actions = feed.on(self.now, event);
        if !feed.may_send() {
            self.deeds.full_windows += 1;
        }
        for action in actions {
            self.carry_out_for_feed(connection, action);
        }
        if let Some(feed) = &self.connections[connection].feed {
            check_window(feed);
            self.wake(connection, End::Active);
        }
    }

    fn carry_out_for_feed(&mut self, connection: usize, action: feed::Action) {
        let (active, standby) = (self.connections[connection].active, self.connections[connection].standby);
        match action {
            feed::Action::Identify(_) => {
                let identified = self.identify(connection);
                self.feed(connection, feed::Event::Identified(identified));
            }
            feed::Action::ReadDigest(op) => self.soon(50, Due::DigestRead(connection, End::Active, op)),
            feed::Action::Send { epoch, message } => self.send(connection, End::Standby, epoch, message),
            feed::Action::Begin { after, .. } => {
                self.deeds.streams += 1;
                self.connections[connection].read = Some(after);
                for older in 0..connection {
                    let there = &self.connections[older];
                    if there.feed.is_some()
                        && there.read.is_some()
                        && (there.active, there.standby) == (active, standby)
                    {
                        self.deeds.replaced += 1;
                        self.feed(older, feed::Event::Replaced);
                    }
                }
            }
            feed::Action::ReadLog => self.soon(15, Due::LogRead(connection)),
            feed::Action::Extend { rolling, to } => self.soon(50, Due::Extended(connection, rolling, to)),
            feed::Action::Acknowledged(op) => {
                self.deeds.acknowledgements += 1;
                let life = self.connections[connection].life.expect("a stream has a reign");
                self.members[standby].witness.check_ack_taken(op, &self.lives[life].log);
            }
            // Standbys of this world take no bases while they stream.
            feed::Action::WantBase(_) | feed::Action::Pledged(_) => {}
            feed::Action::HangUp(_) => self.drop_feed(connection),
        }
    }

    fn identify(&mut self, connection: usize) -> Identified {
        let member = &self.members[self.connections[connection].active];
        let Some((life, opened)) = member.reign else { return Identified::NotActive };
        self.connections[connection].life = Some(life);
        Identified::Reign(Reign {
            epoch: self.lives[life].epoch,
            uuid: "u".into(),
            history: member.disk.history().unwrap_or_default(),
            whole: opened,
            opened,
            beat: Heartbeat { current_head: member.disk.last(), serving: true },
        })
    }

    /// The active's log is read again for a digest, or what is left of it.
    pub(crate) fn extend(&mut self, connection: usize, rolling: Rolling, to: OpId) {
        let disk = &self.members[self.connections[connection].active].disk;
        let extended = read_again(disk, rolling, OpId::new(to.term, to.index.min(rolling.at().index + MOST_AT_ONCE)));
        let collected = disk.at(rolling.at().index + 1).is_none();
        self.feed(connection, feed::Event::Extended(extended.filter(|_| !collected)));
    }

    /// A standby's log is read back.
    pub(crate) fn read_back(&mut self, connection: usize, generation: &str, rolling: Rolling, to: OpId) {
        let disk = &self.members[self.connections[connection].standby].disk;
        let found = match read_again(disk, rolling, to) {
            _ if disk.anchors().generation.as_deref() != Some(generation) => ReadBack::Replaced,
            Some(read) if read.at() == to => ReadBack::Whole(read),
            Some(read) => ReadBack::Unfit(format!("the log ends at {}", read.at())),
            None => ReadBack::Later,
        };
        self.follow(connection, follower::Event::ReadBack(found));
    }

    pub(crate) fn read_log(&mut self, connection: usize) {
        let here = &self.connections[connection];
        let (Some(read), true) = (here.read, here.feed.is_some()) else { return };
        let disk = &self.members[here.active].disk;
        let mut bytes = 0;
        let ops: Vec<_> = (read.index + 1..)
            .map_while(|index| disk.at(index).cloned())
            .take_while(|op| {
                let first = bytes == 0;
                bytes += op.raw().len();
                first || bytes <= READ_BYTES
            })
            .collect();
        if ops.is_empty() && disk.last().is_some_and(|last| last.index > read.index) {
            // Collected before it was read: the tail cannot go on.
            return self.drop_feed(connection);
        }
        if let Some(last) = ops.last() {
            self.connections[connection].read = Some(last.id());
        }
        self.feed(connection, feed::Event::LogRead(ops));
    }

    /// A frame reaches a standby.
    fn hear(&mut self, connection: usize, epoch: i64, message: Message) {
        let standby = self.connections[connection].standby;
        if let Message::Ops(ops) = &message {
            self.connections[connection].waiting_bytes += bytes_of(ops);
        }
        let Some(follower) = &mut self.connections[connection].follower else { return };
        let actions = follower.on(self.now, follower::Event::Received { epoch, message });
        match actions.last() {
            Some(follower::Action::HangUp(reason)) => {
                self.deeds.old_epochs += u64::from(matches!(reason, HangUp::OldEpoch { .. }));
            }
            _ => {
                // The first action makes a newer epoch durable; all else comes after it.
                let obeys = matches!(actions.first(), Some(follower::Action::Obey(_)));
                let mut actions = actions;
                let rest = actions.split_off(usize::from(obeys));
                self.carry_out(connection, actions);
                let member = &mut self.members[standby];
                member.witness.acts_on(epoch, &member.disk);
                return self.after_follower(connection, rest);
            }
        }
        self.after_follower(connection, actions);
    }

    /// Another event for a follower.
    pub(crate) fn follow(&mut self, connection: usize, event: follower::Event) {
        let Some(follower) = &mut self.connections[connection].follower else { return };
        let actions = follower.on(self.now, event);
        self.after_follower(connection, actions);
    }

    fn after_follower(&mut self, connection: usize, actions: Vec<follower::Action>) {
        self.carry_out(connection, actions);
        check_group(self.connections[connection].waiting_bytes);
        if self.connections[connection].follower.is_some() {
            self.wake(connection, End::Standby);
            // What waited because the follower did not read.
            self.at(self.now, Due::Arrival(connection, End::Standby));
        }
    }

    pub(crate) fn carry_out(&mut self, connection: usize, actions: Vec<follower::Action>) {
        for action in actions {
            self.carry_out_for_follower(connection, action);
        }
    }

    fn carry_out_for_follower(&mut self, connection: usize, action: follower::Action) {
        let standby = self.connections[connection].standby;
        let boot = self.members[standby].boot;
        let disk = &mut self.members[standby].disk;
        match action {
            follower::Action::Obey(epoch) => disk.change_anchors(|anchors| anchors.epoch = epoch),
            follower::Action::Send { epoch, message } => {
                if let Message::Ack { replicate_head } = message {
                    self.members[standby].witness.check_ack_sent(replicate_head, &self.members[standby].disk);
                }
                if let Message::Begin { .. } = message
                    && let Some(life) = self.connections[connection].life
                {
                    check_prefix(&self.members[standby].disk, &self.lives[life].log, self.alters);
                }
                self.send(connection, End::Active, epoch, message);
            }
            follower::Action::ReadDigest(op) => self.soon(50, Due::DigestRead(connection, End::Standby, op)),
            follower::Action::Note(found) => {
                self.deeds.gaps += u64::from(found.ops > 0);
                let compare_from = disk.anchors().compare_from.or(disk.last());
                disk.change_anchors(|anchors| {
                    anchors.rejoin(found);
                    anchors.compare_from = compare_from;
                });
            }
            follower::Action::RaiseTerm(_) => self.soon(100, Due::TermRaised(connection)),
            follower::Action::ReadBack { rolling, to } => {
                let generation = disk.anchors().generation.expect("a generation");
                self.soon(50, Due::ReadBack(connection, generation, rolling, to));
            }
            follower::Action::Verified(rolling) => {
                self.deeds.verified += 1;
                let life = self.connections[connection].life.expect("a stream has a reign");
                check_equal(disk, &self.lives[life].log, rolling.from(), rolling.at());
                self.connections[connection].verified = Some(rolling.at());
            }
            follower::Action::Condemn(finding) => {
                self.deeds.alarms += 1;
                let life = self.connections[connection].life.expect("a stream has a reign");
                check_differs(disk, &self.lives[life].log);
                disk.change_anchors(|anchors| {
                    anchors.unfit = Some(UnfitLog {
                        generation: anchors.generation.clone().expect("a generation"),
                        epoch: anchors.epoch,
                        fault: finding.fault,
                        message: finding.message,
                        replaced: false,
                    });
                });
            }
            follower::Action::Hear(_) | follower::Action::BaseTurn | follower::Action::AskedForPledge(_) => {}
            follower::Action::Store(ops) => {
                let life = self.connections[connection].life.expect("a stream has a reign");
                check_append(disk, &ops, &self.lives[life].log);
                self.connections[connection].storing_bytes = bytes_of(&ops);
                let stored = ops.len();
                disk.append(ops);
                if self.alters && self.rng.u8(..) < 8 {
                    self.deeds.altered += 1;
                    let place = disk.log().len() - 1 - self.rng.usize(0..stored);
                    disk.alter(place);
                }
                self.members[standby].storing = true;
                let slow = if self.rng.u8(..) < 8 { 3000 } else { 20 };
                self.soon(slow, Due::Stored { member: standby, boot, connection });
            }
            follower::Action::TakeBase { .. } => {
                let from = self.connections[connection].active;
                self.members[standby].copying = true;
                self.drop_follower(connection);
                self.soon(1000, Due::BaseCopied { member: standby, boot, from });
            }
            follower::Action::HangUp(reason) => {
                self.deeds.silences += u64::from(matches!(reason, HangUp::Silent(_)));
                self.drop_follower(connection);
            }
        }
    }

    pub(crate) fn stored(&mut self, member: usize, connection: usize) {
        let here = &mut self.members[member];
        here.disk.flush();
        here.witness.saw_flush(&here.disk);
        here.storing = false;
        let durable = here.disk.durable().expect("a log");
        let there = &mut self.connections[connection];
        there.waiting_bytes = there.waiting_bytes.saturating_sub(std::mem::take(&mut there.storing_bytes));
        if there.follower.is_some() {
            self.follow(connection, follower::Event::Stored(durable));
        } else {
            self.retry(member);
        }
    }

    pub(crate) fn base_copied(&mut self, member: usize, from: usize) {
        let source = &self.members[from];
        if source.up && source.reign.is_some_and(|(_, opened)| opened) {
            self.deeds.bases += 1;
            let log = source.disk.log().to_vec();
            let here = &mut self.members[member];
            here.disk.take_base(&log);
            here.witness.saw_flush(&here.disk);
        }
        self.members[member].copying = false;
        self.retry(member);
    }
}

/// The digest of what a log holds behind the end of another, up to `to`; none when it does not hold what comes next.
fn read_again(disk: &Disk, mut rolling: Rolling, to: OpId) -> Option<Rolling> {
    if rolling.at().index < to.index && disk.at(rolling.at().index + 1).is_none() {
        return None;
    }
    for op in (rolling.at().index + 1..=to.index).map_while(|index| disk.at(index)) {
        rolling.add(op).ok()?;
    }
    Some(rolling)
}

fn bytes_of(ops: &[Replicate]) -> usize {
    ops.iter().map(|op| op.raw().len()).sum()
}
