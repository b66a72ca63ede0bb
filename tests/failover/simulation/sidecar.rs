//! What launcher and sidecar of a member do in one tick, by the real orders.

use kudu_pair::{
    api::SyncRecord,
    failover::{
        member::GapReport,
        order::{Order, order_for},
    },
    wal::OpId,
};

use super::{
    RENEW_DEADLINE, RENEW_INTERVAL,
    api::Api,
    dice::Dice,
    member::{Master, Member},
    world::World,
};

impl World {
    pub(super) fn launcher(&mut self, number: usize) {
        let (at, dice, member) = (self.at, &mut self.dice, &mut self.members[number]);
        let Some(master) = &member.master else { return };
        if at >= master.deadline {
            member.kill(at, dice);
        }
        if member.master.as_ref().is_some_and(|master| master.dies_at.is_some_and(|dies| at >= dies)) {
            member.master_is_gone();
        } else if member.serves(at) && member.may_append() && dice.percent(20) {
            let term = member.head().map_or(0, |head| head.term);
            member.append(term);
            self.ask_for_the_last(number);
        }
    }

    pub(super) fn sidecar(&mut self, number: usize) {
        let at = self.at;
        let member = &mut self.members[number];
        if at < member.down_until || at < member.hung_until {
            return;
        }
        let reaches_api = at >= member.cut_from_api_until && at >= self.api.away_until;
        if reaches_api && self.dice.percent(60) {
            if at >= member.deaf_until {
                member.view = self.api.status();
            }
            member.lease_view.clone_from(&self.api.lease);
        }
        self.answer_gate(number, reaches_api);
        let member = &mut self.members[number];
        let order = order_for(&member.name, &member.view);
        if matches!(order, Order::Wait) && member.held.is_none() {
            member.kill(at, &mut self.dice);
            return;
        }
        if order.epoch() < member.obeyed {
            return;
        }
        if order.epoch() > member.obeyed {
            member.gap = None;
            member.active_heard_at = None;
        }
        member.obeyed = order.epoch();
        member.standing_down = matches!(order, Order::StandDown { .. });
        match order {
            Order::Wait => {}
            Order::Serve { epoch, gate, format } => self.serve(number, epoch, gate, format.is_some(), reaches_api),
            Order::StandDown { successor, .. } => self.stand_down(number, successor.as_deref(), reaches_api),
            Order::Follow { epoch, active, .. } => self.follow(number, epoch, &active),
        }
    }

    pub(super) fn serve(&mut self, number: usize, epoch: i64, gate: Option<OpId>, may_format: bool, reaches_api: bool) {
        let at = self.at;
        let (dice, api, member) = (&mut self.dice, &mut self.api, &mut self.members[number]);
        if member.master.as_ref().is_some_and(|master| master.epoch != epoch) {
            member.kill(at, dice);
        }
        let Some((held, since)) = member.held.filter(|(held, _)| *held == epoch) else {
            member.held = None;
            if reaches_api && member.master.is_none() && dice.percent(50) {
                Self::acquire(api, member, epoch, at);
            }
            return;
        };
        if at >= member.renew_at && reaches_api && dice.percent(80) {
            Self::renew(api, member, held, at, dice);
        }
        let failed = member.failed == Some(epoch);
        if failed || member.master.is_some() || at >= since + RENEW_DEADLINE || member.held.is_none() {
            return;
        }
        if member.log.is_none() && may_format {
            self.formats += 1;
            member.log = Some(vec![OpId::new(0, 1)]);
        }
        let head = member.head();
        if head.is_none() || head < gate || dice.percent(3) {
            member.failed = Some(epoch);
            return;
        }
        let term = head.map_or(0, |head| head.term + 1).max(epoch * 1_000_000);
        member.append(term);
        let ready_at = at + dice.between(100, 900);
        member.master = Some(Master { gate: None, epoch, deadline: since + RENEW_DEADLINE, ready_at, dies_at: None });
        self.begin_gate(number, epoch, head);
    }

    pub(super) fn acquire(api: &mut Api, member: &mut Member, epoch: i64, at: u64) {
        let Some(seen) = member.lease_view.clone() else { return };
        let own = seen.holder.as_deref().is_some_and(|holder| holder.starts_with(&format!("{}/", member.name)));
        if own {
            Self::release(api, member);
        } else if seen.holder.is_none() && seen.epoch == epoch {
            let identity = member.identity();
            let taken = api.replace_lease(seen.version, |lease| {
                lease.holder = Some(identity);
                lease.final_head = None;
                lease.sync.get_or_insert_with(|| SyncRecord::none(epoch));
            });
            if taken {
                member.held = Some((epoch, at));
                member.renew_at = at + RENEW_INTERVAL;
                member.lease_view.clone_from(&api.lease);
            }
        }
    }

    pub(super) fn renew(api: &mut Api, member: &mut Member, epoch: i64, at: u64, dice: &mut Dice) {
        let identity = member.identity();
        match api.lease.clone() {
            Some(lease) if lease.holder.as_ref() == Some(&identity) && lease.epoch == epoch => {
                api.replace_lease(lease.version, |_| ());
                // An answer that is lost is no renewal for the one who asked.
                if dice.percent(95) {
                    member.held = Some((epoch, at));
                    member.renew_at = at + RENEW_INTERVAL;
                    if let Some(master) = member.master.as_mut().filter(|master| master.epoch == epoch) {
                        master.deadline = master.deadline.max(at + RENEW_DEADLINE);
                    }
                }
            }
            Some(lease) if lease.epoch > epoch => {
                member.held = None;
                member.kill(at, dice);
            }
            // The Lease was deleted, or made anew: take it again before the deadline, or be killed.
            Some(lease) if lease.holder.is_none() && lease.epoch == epoch => {
                let gated = member.master.as_ref().is_some_and(|master| master.gate.is_some());
                if gated {
                    // What it promised is gone with the old one: the reign ends, and begins anew.
                    member.held = None;
                    member.kill(at, dice);
                    return;
                }
                member.lease_view = Some(lease);
                Self::acquire(api, member, epoch, at);
            }
            _ => {}
        }
    }

    /// Gives up a Lease that this pod holds; its kudu-master is dead.
    pub(super) fn release(api: &mut Api, member: &mut Member) {
        assert!(member.master.is_none());
        let Some(lease) = api.lease.clone() else { return };
        if lease.holder.as_deref().is_some_and(|holder| holder.starts_with(&format!("{}/", member.name))) {
            let head = member.head().unwrap_or_default();
            api.replace_lease(lease.version, |lease| {
                lease.holder = None;
                lease.final_head = Some(head);
            });
        }
        member.held = None;
    }

    pub(super) fn stand_down(&mut self, number: usize, successor: Option<&str>, reaches_api: bool) {
        let (at, head) = (self.at, self.members[number].head());
        let shipped =
            successor.is_none_or(|to| self.members.iter().any(|member| member.name == to && member.head() >= head));
        let (dice, api, member) = (&mut self.dice, &mut self.api, &mut self.members[number]);
        if member.master.is_some() {
            member.kill(at, dice);
            return;
        }
        if !reaches_api || !dice.percent(70) {
            return;
        }
        if shipped {
            Self::release(api, member);
        } else if let Some((epoch, _)) = member.held.filter(|_| at >= member.renew_at) {
            Self::renew(api, member, epoch, at, dice);
        }
    }

    pub(super) fn follow(&mut self, number: usize, epoch: i64, active: &str) {
        let at = self.at;
        if self.members[number].master.is_some() {
            self.members[number].kill(at, &mut self.dice);
            return;
        }
        let Some(from) = self.members.iter().position(|member| member.name == active) else { return };
        let cut = self.cuts.get(&(number.min(from), number.max(from))).is_some_and(|until| at < *until);
        let source = &self.members[from];
        let alive = at >= source.down_until && at >= source.hung_until;
        let opens = source.master.as_ref().is_some_and(|master| master.gate.is_some());
        let has_something = source.serves(at)
            || opens && self.members[number].log.is_some()
            || source.standing_down && source.master.is_none();
        if cut || !alive || !has_something || source.obeyed != epoch || self.dice.percent(20) {
            return;
        }
        let (Some(theirs), serves) = (source.log.clone(), source.serves(at)) else { return };
        let batch = usize::try_from(self.dice.between(1, 40)).unwrap();
        let member = &mut self.members[number];
        let own = member.log.get_or_insert_default();
        let agreed = own.iter().zip(&theirs).take_while(|(own, their)| own == their).count();
        if member.gap.is_none() {
            let ops = i64::try_from(own.len() - agreed).unwrap();
            member.gap = Some(GapReport { epoch, ops, diff_head: None, own_head: own.last().copied() });
        }
        own.truncate(agreed);
        let before = own.last().copied();
        own.extend(theirs.iter().skip(agreed).take(batch));
        member.copied_at = Some(at);
        member.active_head = theirs.last().copied();
        let after = member.head();
        if serves {
            member.active_heard_at = Some(at);
        }
        self.hear_standby(from, number, before, after);
    }
}
