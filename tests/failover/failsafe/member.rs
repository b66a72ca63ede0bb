//! Launchers and sidecars: whoever is ordered to serve takes the Lease, renews it, and asks for pledges.

use kudu_pair::failover::{
    failsafe::{Ask, Pledge, Roster},
    tenure::{self, Claim},
};

use super::{
    Broken, KILL_TIME, RENEW_DEADLINE, TIMES,
    toys::{Change, Mail, Master, Pod, name},
    world::World,
};

impl World {
    pub(super) fn reaches_api(&self, pod: &Pod) -> bool {
        self.at >= pod.cut_from_api_until && self.at >= self.api_away_until
    }

    pub(super) fn launcher(&mut self, number: usize) {
        let (at, pod) = (self.at, &mut self.pods[number]);
        let clock = pod.clock(at);
        let Some(master) = &mut pod.master else { return };
        if clock >= master.deadline && master.dies_at.is_none() {
            // Most kills are short and some take all the time there is.
            let most = if self.dice.percent(50) { KILL_TIME } else { 100 };
            master.dies_at = Some(at + self.dice.below(most));
        }
        if master.dies_at.is_some_and(|dies| at >= dies) {
            pod.master = None;
        }
    }

    pub(super) fn sidecar(&mut self, number: usize) {
        let pod = &self.pods[number];
        if self.at < pod.sidecar_back_at {
            return;
        }
        let reaches = self.reaches_api(pod);
        if reaches && self.dice.percent(30) {
            let stale = if self.dice.percent(3) { usize::try_from(self.dice.below(3)).unwrap() } else { 0 };
            let order = self.ordered[self.ordered.len().saturating_sub(1 + stale)].clone();
            if order.0 >= self.volumes[&pod.name].obeyed {
                self.pods[number].ordered = order;
            }
        }
        self.answers_arrive(number);
        let pod = &self.pods[number];
        let (epoch, to) = pod.ordered.clone();
        if to == pod.name {
            self.serve(number, epoch, reaches);
        } else {
            self.pods[number].reign = None;
            if epoch > 0 {
                self.kill(number);
                if let Some(volume) = self.volumes.get_mut(&self.pods[number].name) {
                    volume.obeyed = volume.obeyed.max(epoch);
                }
            }
        }
    }

    pub(super) fn kill(&mut self, number: usize) {
        let (at, pod) = (self.at, &mut self.pods[number]);
        if let Some(master) = pod.master.as_mut().filter(|master| master.dies_at.is_none()) {
            master.dies_at = Some(at + self.dice.below(KILL_TIME));
        }
    }

    pub(super) fn roster(&self, own: &str) -> Roster {
        Some((0..self.wanted).map(name).chain([own.to_owned()]).collect())
    }

    pub(super) fn serve(&mut self, number: usize, epoch: i64, reaches: bool) {
        let at = self.at;
        let pod = &self.pods[number];
        let clock = pod.clock(at);
        if pod.master.as_ref().is_some_and(|master| master.epoch != epoch) {
            return self.kill(number);
        }
        if pod.reign.as_ref().is_some_and(|reign| reign.epoch != epoch) {
            self.pods[number].reign = None;
        }
        let Some(reign) = &self.pods[number].reign else {
            return self.take(number, epoch, reaches);
        };
        let due = clock >= reign.renew_at && self.pods[number].request.is_none();
        if due && reaches {
            let identity = self.pods[number].identity();
            if self.lease.holder.as_ref() != Some(&identity) || self.lease.epoch != epoch {
                self.say(|| format!("{identity} has lost the Lease"));
                self.pods[number].reign = None;
                return self.kill(number);
            }
            let roster = self.roster(&self.pods[number].name);
            if self.broken != Broken::UncertainRostersDoNotCount {
                let reign = self.pods[number].reign.as_mut().unwrap();
                reign.failsafe.writes(roster.clone());
            }
            self.send(number, Change::Renew, epoch, roster);
            if std::mem::take(&mut self.cut_the_next_active_that_writes) {
                self.pods[number].cut_from_api_until = at + self.dice.between(10_000, 30_000);
            }
        }
        self.ask(number, epoch);
        self.move_deadline(number);
    }

    pub(super) fn ask(&mut self, number: usize, epoch: i64) {
        let clock = self.pods[number].clock(self.at);
        let Some(ask) = self.pods[number].reign.as_mut().and_then(|reign| reign.failsafe.ask(clock, &TIMES)) else {
            return;
        };
        self.say(|| format!("{} asks for pledges", self.pods[number].identity()));
        for other in 0..self.pods.len() {
            let delay = self.delay();
            self.mail.push((self.at + delay, number, other, Mail::Ask { epoch, ask }));
        }
        let pod = &mut self.pods[number];
        let own = pod.has_volume || self.broken == Broken::ActiveWithoutAVolume;
        if own {
            if pod.has_volume {
                let by = pod.pod();
                let pledge = Pledge { by, to: pod.name.clone(), epoch, milliseconds: ask.milliseconds };
                self.volumes.get_mut(&pod.name).unwrap().pledge = Some(pledge);
            }
            let name = pod.name.clone();
            self.pledged(number, &name, ask.asked);
        }
    }

    /// A member is asked to pledge.
    pub(super) fn asked(&mut self, from: usize, to: usize, epoch: i64, ask: Ask) {
        let (at, active) = (self.at, self.pods[from].name.clone());
        let reaches = self.reaches_api(&self.pods[to]);
        let pod = &mut self.pods[to];
        let volume = self.volumes.get_mut(&pod.name).unwrap();
        if pod.ordered != (epoch, active.clone()) || pod.name == active || pod.master.is_some() {
            return;
        }
        if pod.has_volume && volume.obeyed > epoch || reaches && self.dice.percent(25) {
            return;
        }
        let mut milliseconds = ask.milliseconds;
        if self.broken == Broken::PledgesAreTooShort {
            milliseconds /= 2;
        }
        pod.bound_until = pod.bound_until.max(pod.clock(at) + milliseconds * 1_000_000);
        if pod.has_volume {
            volume.pledge = Some(Pledge { by: pod.pod(), to: active, epoch, milliseconds });
        } else if self.broken != Broken::PledgesWithoutAVolume {
            return;
        }
        let delay = self.delay();
        self.mail.push((at + delay, to, from, Mail::Pledge { epoch, asked: ask.asked }));
    }

    pub(super) fn pledged(&mut self, number: usize, member: &str, asked: u64) {
        let (at, broken) = (self.at, self.broken);
        let pod = &mut self.pods[number];
        let clock = pod.clock(at);
        let Some(reign) = &mut pod.reign else { return };
        if broken == Broken::OneIsNotAsked
            && let Some(skipped) = reign.failsafe.needed().into_iter().flatten().find(|needed| *needed != pod.name)
        {
            reign.failsafe.pledged(&skipped, asked, clock);
        }
        reign.failsafe.pledged(member, asked, clock);
        self.move_deadline(number);
    }

    pub(super) fn move_deadline(&mut self, number: usize) {
        let (at, broken) = (self.at, self.broken);
        let pod = &mut self.pods[number];
        let (clock, may_start) = (pod.clock(at), pod.has_volume);
        let Some(reign) = &pod.reign else { return };
        let mut deadline = reign.failsafe.deadline();
        if broken == Broken::CountsFromTheAnswer && reign.failsafe.since().is_some() && clock < deadline {
            deadline = clock + RENEW_DEADLINE * 1_000_000;
        }
        match &mut pod.master {
            Some(master) if master.epoch == reign.epoch && master.dies_at.is_none() => {
                master.deadline = master.deadline.max(deadline);
            }
            Some(_) => {}
            None if clock < deadline && may_start => {
                pod.master = Some(Master { epoch: reign.epoch, deadline, dies_at: None });
            }
            None => {}
        }
    }

    pub(super) fn take(&mut self, number: usize, epoch: i64, reaches: bool) {
        let at = self.at;
        let pod = &self.pods[number];
        let resumed = pod.master.as_ref().is_some_and(|master| master.epoch == epoch && master.dies_at.is_none());
        let bound = pod.clock(at) < pod.bound_until && self.broken != Broken::PledgesAreForgotten;
        if !reaches || pod.request.is_some() || !pod.has_volume || (!resumed && (pod.master.is_some() || bound)) {
            return;
        }
        let identity = pod.identity();
        let mut view = self.lease.view();
        if self.broken == Broken::StrangersTakeTheLease {
            view.roster = None;
        }
        match tenure::claim(&view, &identity, epoch) {
            Claim::No(_) => {}
            Claim::Inherited => self.send(number, Change::Release, epoch, None),
            Claim::Mine | Claim::Take => {
                if !resumed {
                    self.volumes.get_mut(&self.pods[number].name).unwrap().pledge = None;
                }
                let roster = self.roster(&self.pods[number].name);
                self.send(number, Change::Take, epoch, roster);
            }
        }
    }
}
