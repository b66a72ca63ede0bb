//! What is between and above the members: the API server, the links, the controller.

use std::{collections::BTreeSet, time::Duration};

use kudu_pair::{
    failover::{
        failsafe::{Failsafe, Roster},
        lease::{LeaseClock, LeaseSeen},
    },
    wal::OpId,
};

use super::{
    RENEW_DEADLINE, RENEW_INTERVAL, REQUEST_TIMEOUT, TIMES,
    toys::{Change, Mail, Pod, Reign, Write},
    world::World,
};

impl World {
    pub(super) fn delay(&mut self) -> u64 {
        if self.dice.percent(80) { self.dice.below(50) } else { self.dice.below(1_200) }
    }

    /// A request that sees the Lease as it is now, and arrives later, or never.
    pub(super) fn send(&mut self, number: usize, change: Change, epoch: i64, roster: Roster) {
        let (there, back) = (self.delay(), self.delay());
        let pod = &self.pods[number];
        let write = Write {
            change,
            version: self.lease.version,
            identity: pod.identity(),
            epoch,
            roster,
            asked: pod.clock(self.at),
            arrives_at: self.at + there,
            answered_at: self.at + there + back,
            given_up_at: self.at + REQUEST_TIMEOUT,
            done: None,
        };
        self.pods[number].request = Some(self.writes.len());
        self.writes.push(write);
    }

    pub(super) fn writes_arrive(&mut self) {
        // Those before are done.
        for write in self.writes.iter_mut().rev().take(16).rev() {
            if write.done.is_some() || self.at < write.arrives_at {
                continue;
            }
            // What is on its way when the API server goes may be carried out or not.
            if self.at < self.api_away_until && self.dice.percent(50) {
                write.done = Some(false);
                write.answered_at = u64::MAX;
                continue;
            }
            if self.at < self.api_away_until {
                write.answered_at = u64::MAX;
            }
            let carried_out = write.version == self.lease.version;
            write.done = Some(carried_out);
            if !carried_out {
                continue;
            }
            self.versions += 1;
            self.lease.version = self.versions;
            match write.change {
                Change::Take => {
                    self.takeovers += u64::from(self.lease.holder.as_ref() != Some(&write.identity));
                    self.lease.holder = Some(write.identity.clone());
                    self.lease.roster.clone_from(&write.roster);
                }
                Change::Renew => self.lease.roster.clone_from(&write.roster),
                Change::Release => {
                    self.lease.holder = None;
                    self.lease.final_head = Some(OpId::default());
                    self.lease.roster = None;
                }
            }
        }
    }

    pub(super) fn answers_arrive(&mut self, number: usize) {
        let at = self.at;
        let pod = &mut self.pods[number];
        let Some(write) = pod.request.map(|request| &self.writes[request]) else { return };
        let clock = pod.clock(at);
        let answered = at >= write.answered_at && at >= pod.cut_from_api_until;
        if !answered && at < write.given_up_at {
            return;
        }
        pod.request = None;
        let succeeded = answered && write.done == Some(true);
        match (&write.change, succeeded) {
            (Change::Take, true) if write.identity == pod.identity() => {
                let deadline = write.asked + RENEW_DEADLINE * 1_000_000;
                let failsafe = Failsafe::begin(write.roster.clone(), write.asked, deadline);
                let renew_at = clock + RENEW_INTERVAL * 1_000_000;
                pod.reign = Some(Reign { epoch: write.epoch, failsafe, renew_at });
                pod.renewed_at = at;
                if let Some(volume) = self.volumes.get_mut(&pod.name) {
                    volume.obeyed = volume.obeyed.max(write.epoch);
                }
            }
            (Change::Renew, _) => {
                let Some(reign) = pod.reign.as_mut().filter(|reign| reign.epoch == write.epoch) else { return };
                let pause = if succeeded { RENEW_INTERVAL } else { 200 };
                reign.renew_at = clock + pause * 1_000_000;
                if succeeded {
                    let deadline = write.asked + RENEW_DEADLINE * 1_000_000;
                    reign.failsafe.renewed(write.roster.clone(), write.asked, deadline);
                    pod.renewed_at = at;
                }
            }
            _ => {}
        }
        self.move_deadline(number);
    }

    pub(super) fn mail_arrives(&mut self) {
        let at = self.at;
        let (due, later) = std::mem::take(&mut self.mail).into_iter().partition(|(due, ..)| *due <= at);
        self.mail = later;
        for (_, from, to, mail) in due as Vec<(u64, usize, usize, Mail)> {
            let cut = self.cuts.get(&(from, to)).is_some_and(|until| at < *until);
            if cut || at < self.pods[to].sidecar_back_at {
                continue;
            }
            match mail {
                Mail::Ask { epoch, ask } => self.asked(from, to, epoch, ask),
                Mail::Pledge { epoch, asked } => {
                    let member = self.pods[from].name.clone();
                    let ours = |pod: &Pod| pod.reign.as_ref().is_some_and(|reign| reign.epoch == epoch);
                    if ours(&self.pods[to]) {
                        self.pledged(to, &member, asked);
                    }
                }
            }
        }
    }

    pub(super) fn control(&mut self) {
        if self.at < self.controller_away_until || self.at < self.api_away_until || !self.dice.percent(30) {
            return;
        }
        let now = Duration::from_micros(self.at * self.controller_rate);
        let version = self.lease.version.to_string();
        let clock = self.controller.get_or_insert_with(|| LeaseClock::new(&version, now));
        let seen = LeaseSeen {
            unchanged_for: clock.look(&version, now),
            resource_version: version,
            holder: self.lease.holder.clone(),
            epoch: self.lease.epoch,
            final_head: self.lease.final_head,
            sync: None,
            duration: None,
        };
        if !seen.over(TIMES.lease_duration) {
            return;
        }
        self.lease.epoch += 1;
        (self.lease.holder, self.lease.final_head) = (None, None);
        self.versions += 1;
        self.lease.version = self.versions;
        let members: BTreeSet<_> = self.pods.iter().map(|pod| pod.name.clone()).collect();
        let chosen = self.dice.below(members.len() as u64);
        let to = members.into_iter().nth(usize::try_from(chosen).unwrap()).unwrap();
        self.say(|| format!("the controller fences and chooses {to} for {}", self.lease.epoch));
        self.ordered.push((self.lease.epoch, to));
    }
}
