//! The controllers: what they see, what they decide by the real decisions, and how much of that gets through.

use std::{collections::BTreeMap, time::Duration};

use jiff::SignedDuration;
use kudu_pair::{
    api::{KuduMasterPair, PairStatus, Role, SwitchKind, SwitchStep},
    failover::{
        action::Action,
        decide::decide,
        fenced,
        lease::{LeaseClock, LeaseSeen},
        member::MemberReport,
        observation::{Heard, MemberSeen, Observation, PodSeen},
    },
    wal::OpId,
};

use super::{FAULTS_UNTIL, api::ToyLease, world::World};
use crate::fixture;

pub(super) struct Pending {
    pub(super) at: u64,
    pub(super) actions: Vec<Action>,
    pub(super) look_after: u64,
    pub(super) pair_version: u64,
    pub(super) lease: Option<ToyLease>,
}

/// One controller: everything that it remembers may be lost.
pub(super) struct Controller {
    pub(super) away_until: u64,
    /// How far its wall clock was put wrong, in milliseconds; its boot-time clock goes on.
    pub(super) wall_ms: i64,
    pub(super) look_at: u64,
    pub(super) clock: Option<LeaseClock>,
    pub(super) heard: BTreeMap<String, (MemberReport, u64)>,
    pub(super) active_head: Option<(i64, OpId)>,
    pub(super) written_at: Option<u64>,
    pub(super) pending: Option<Pending>,
}

impl Controller {
    pub(super) fn new(away_until: u64) -> Self {
        Self {
            away_until,
            wall_ms: 0,
            look_at: 0,
            clock: None,
            heard: BTreeMap::new(),
            active_head: None,
            written_at: None,
            pending: None,
        }
    }
}

impl World {
    pub(super) fn controller(&mut self, number: usize) {
        let controller = &self.controllers[number];
        if self.at < controller.away_until || self.at < self.api.away_until {
            return;
        }
        match controller.pending.as_ref().map(|pending| pending.at) {
            Some(at) if self.at >= at => {
                let Some(pending) = self.controllers[number].pending.take() else { return };
                self.controllers[number].look_at = self.at + pending.look_after;
                self.execute(number, pending);
            }
            Some(_) => {}
            None if self.at >= controller.look_at => self.look(number),
            None => {}
        }
    }

    pub(super) fn look(&mut self, number: usize) {
        let at = self.at;
        for member in &self.members {
            let reached = at >= member.down_until && at >= member.hung_until && at >= member.cut_from_controllers_until;
            if reached && (self.dice.percent(95) || at > FAULTS_UNTIL) {
                self.controllers[number].heard.insert(member.name.clone(), (member.report(at), at));
            }
        }
        let wall = SignedDuration::from_millis(i64::try_from(at).unwrap() + self.controllers[number].wall_ms);
        let now = fixture::now() + wall;
        let status = self.api.status();
        let synchronous = self.sync.is_some();
        let controller = &mut self.controllers[number];
        let lease = self.api.lease.as_ref().map(|lease| {
            let (version, at) = (lease.version.to_string(), Duration::from_millis(at));
            let clock = controller.clock.get_or_insert_with(|| LeaseClock::new(&version, at));
            LeaseSeen {
                unchanged_for: clock.look(&version, at),
                resource_version: version,
                holder: lease.holder.clone(),
                epoch: lease.epoch,
                final_head: lease.final_head,
                sync: lease.sync.clone().filter(|_| synchronous),
                duration: None,
            }
        });
        let reported = status.active.as_ref().and_then(|active| controller.heard.get(active)).map(|(report, _)| report);
        let head = reported.filter(|report| report.epoch == status.epoch && report.role == Role::Active);
        let before = controller.active_head.filter(|(epoch, _)| *epoch == status.epoch).map(|(_, head)| head);
        let active_head = before.max(head.and_then(|report| report.head));
        controller.active_head = active_head.map(|head| (status.epoch, head));
        let members = self.members.iter().map(|member| {
            let up = at >= member.down_until;
            let pod = PodSeen {
                uid: format!("uid-{}", member.name),
                revision: Some("r1".to_owned()),
                ready: up,
                deleting: false,
                age: Duration::from_millis(at),
            };
            let heard = controller.heard.get(&member.name).cloned();
            let heard = heard.map(|(report, heard_at)| Heard { report, ago: Duration::from_millis(at - heard_at) });
            MemberSeen { name: member.name.clone(), pod: Some(pod), heard }
        });
        let seen = Observation {
            members: members.collect(),
            pair: KuduMasterPair { status: Some(PairStatus::clone(&status)), ..self.api.pair.clone() },
            lease,
            update_revision: Some("r1".to_owned()),
            service_active: self.api.service.clone(),
            active_head,
            certificates: None,
            status_written_ago: controller.written_at.map(|written| Duration::from_millis(at - written)),
            fresh_uuid: fixture::UUID.to_owned(),
            now,
        };
        let decision = decide(&seen);
        let slow = if self.dice.percent(3) { self.dice.below(2_000) } else { self.dice.below(60) };
        controller.pending = Some(Pending {
            at: at + slow,
            look_after: u64::try_from(decision.requeue_after.as_millis()).unwrap(),
            actions: decision.actions,
            pair_version: self.api.pair_version,
            lease: self.api.lease.clone(),
        });
    }

    pub(super) fn execute(&mut self, number: usize, pending: Pending) {
        let Pending { actions, pair_version, lease, .. } = pending;
        for action in actions {
            if self.dice.percent(2) {
                return;
            }
            let done = match action {
                Action::WriteStatus(status) => self.write_status(number, *status, pair_version),
                Action::CreateLease { epoch } => {
                    self.say(|| format!("controller {number} creates the Lease for {epoch}"));
                    let free = self.api.lease.is_none();
                    if free {
                        self.api.versions += 1;
                        let version = self.api.versions;
                        self.api.lease = Some(ToyLease { version, holder: None, epoch, final_head: None, sync: None });
                    }
                    free
                }
                Action::FenceLease { resource_version, epoch } => {
                    let version = lease.as_ref().map_or(0, |lease| lease.version);
                    assert_eq!(version.to_string(), resource_version);
                    self.say(|| format!("controller {number} fences the Lease for {epoch}"));
                    self.api.replace_lease(version, |lease| {
                        lease.holder = None;
                        lease.final_head = None;
                        lease.epoch = epoch;
                    })
                }
                Action::ApplyObjects { .. } | Action::DeletePod { .. } => true,
                Action::Repoint { active } => {
                    self.api.service = Some(active);
                    true
                }
                Action::Event(event) => {
                    self.say(|| format!("{}: {}", event.reason, event.note));
                    true
                }
            };
            if !done {
                self.say(|| format!("controller {number} was too late"));
                return;
            }
        }
    }

    pub(super) fn write_status(&mut self, number: usize, status: PairStatus, version: u64) -> bool {
        if version != self.api.pair_version {
            return false;
        }
        let before = self.api.status();
        assert!(status.epoch >= before.epoch, "the epoch went back");
        let formatted = |status: &PairStatus| status.catalog.as_ref().is_some_and(|catalog| catalog.formatted);
        assert!(formatted(&status) >= formatted(&before), "the catalog is not formatted any more");
        if let (Some(before), Some(after)) = (&before.switch, &status.switch) {
            assert!(after.epoch >= before.epoch, "the switch's epoch went back");
        }
        let begun = |status: &PairStatus| {
            let switch = status.switch.as_ref().filter(|switch| switch.step == SwitchStep::Promoting)?;
            Some((switch.epoch, switch.to.clone()?))
        };
        if let Some((epoch, to)) = begun(&status).filter(|_| begun(&status) != begun(&before)) {
            let fenced = fenced::names(&self.api.pair);
            assert!(!fenced.contains(&to.as_str()), "a reign of {to}, which is fenced, begins in epoch {epoch}");
        }
        if status.last_switch != before.last_switch {
            self.check_receipt(&status);
        }
        self.see_approval(&status);
        if before.switch != status.switch {
            let line = |status: &PairStatus| {
                status.switch.as_ref().map(|switch| {
                    let (to, tried) = (&switch.to, &switch.tried);
                    format!(
                        "{:?} {} {:?} to {to:?} tried {tried:?}: {:?}",
                        switch.kind, switch.epoch, switch.step, switch.waiting_for
                    )
                })
            };
            self.say(|| format!("controller {number}: {:?}", line(&status)));
        }
        self.api.write_status(status);
        self.controllers[number].written_at = Some(self.at);
        true
    }

    pub(super) fn check_receipt(&mut self, status: &PairStatus) {
        let Some(receipt) = &status.last_switch else { return };
        self.switches += 1;
        let (SwitchKind::Failover | SwitchKind::Switchover, Some(from)) = (receipt.kind, &receipt.from) else { return };
        // A switch that was undone stopped nobody: what the old active had at its last stop belongs to an earlier reign.
        if receipt.to == *from && receipt.promoted_head.is_none() {
            return;
        }
        let Ok(lost) = receipt.ops_lost.parse::<usize>() else { return };
        let log = |name: &str| self.members.iter().find(|member| member.name == name).unwrap();
        let (old, new) = (&log(from).log_at_stop, log(&receipt.to).log.clone().unwrap_or_default());
        // What a member that was tried wrote by itself was never seen by a client.
        let recorded = receipt.recorded_head.filter(|_| !receipt.tried.is_empty());
        let reign = recorded.map_or(i64::MAX, |head| head.term / 1_000_000);
        let missing = old.iter().filter(|op| op.term / 1_000_000 <= reign && !new.contains(op)).count();
        assert_eq!(missing, lost, "the receipt says {lost}: {receipt:?}");
    }
}
