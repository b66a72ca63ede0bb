//! What goes wrong, and when.

use super::{
    Broken,
    toys::{found, name},
    world::World,
};

impl World {
    pub(super) fn fault(&mut self) {
        if self.at < self.fault_at {
            return;
        }
        self.fault_at = self.at + self.dice.between(200, 6_000);
        let number = usize::try_from(self.dice.below(self.pods.len() as u64)).unwrap();
        let other = usize::try_from(self.dice.below(self.pods.len() as u64)).unwrap();
        let until = self.at + self.dice.between(500, 25_000);
        let kind = self.dice.below(12);
        self.say(|| format!("fault {kind} of {} and {other} until {until}", self.pods[number].identity()));
        match kind {
            0..=2 => self.api_away_until = until,
            3 | 4 => self.pods[number].cut_from_api_until = until,
            5 => drop(self.cuts.insert((number, other), self.at + self.dice.between(500, 6_000))),
            6 => self.restart_sidecar(number),
            7 => {
                // The whole pod: its launcher takes the master along.
                self.pods[number].master = None;
                self.pods[number].instance += 1;
                self.restart_sidecar(number);
            }
            // Its node is out of reach, it is given up by force, and another pod has its name and its volume.
            8 => {
                let pod = &mut self.pods[number];
                if !pod.has_volume || self.uids > 8 {
                    return;
                }
                pod.has_volume = false;
                pod.cut_from_api_until = if self.dice.percent(70) { u64::MAX } else { until };
                let name = self.pods[number].name.clone();
                self.pod(name);
            }
            9 if self.wanted < 4 => {
                self.wanted += 1;
                if self.pods.iter().all(|pod| pod.name != name(self.wanted - 1)) {
                    self.pod(name(self.wanted - 1));
                }
                self.cut_the_next_active_that_writes = self.dice.percent(60);
            }
            10 if self.wanted > 2 => self.wanted -= 1,
            11 => self.controller_away_until = self.at + self.dice.below(8_000),
            _ => {}
        }
    }

    pub(super) fn restart_sidecar(&mut self, number: usize) {
        let back_at = self.at + if self.dice.percent(50) { 100 } else { self.dice.between(200, 9_000) };
        let pod = &mut self.pods[number];
        pod.sidecar_back_at = back_at;
        (pod.reign, pod.request, pod.ordered) = (None, None, (0, String::new()));
        // What it finds it finds when it is back.
        let bound = found(&self.volumes[&pod.name], pod, back_at);
        pod.bound_until = if self.broken == Broken::PledgesDoNotOutliveARestart { 0 } else { bound };
    }
}
