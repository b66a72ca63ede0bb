//! What goes wrong, and when.

use kudu_pair::api::names;

use super::{DAY_MS, FAULTS_UNTIL, controller::Controller, world::World};

impl World {
    /// A person comes when the pair is still down a minute after the last fault, and approves what it asks for. A wall clock that
    /// was put wrong makes a loss look old, and one that looks old is not accepted without a word.
    pub(super) fn person(&mut self) {
        if self.at < FAULTS_UNTIL + 60_000 {
            return;
        }
        let status = self.api.status();
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        let asked = ready.and_then(|ready| ready.message.split_once(&format!("{}=", names::APPROVAL_ANNOTATION)));
        let Some(value) = asked.and_then(|(_, value)| value.split_whitespace().next()) else { return };
        if self.annotate(names::APPROVAL_ANNOTATION, value) {
            self.say(|| format!("a person approves {value}"));
        }
    }

    /// Whether that was new.
    fn annotate(&mut self, annotation: &str, value: &str) -> bool {
        let annotations = self.api.pair.metadata.annotations.get_or_insert_default();
        if annotations.insert(annotation.to_owned(), value.to_owned()).as_deref() == Some(value) {
            return false;
        }
        self.api.versions += 1;
        self.api.pair_version = self.api.versions;
        true
    }

    pub(super) fn fault(&mut self) {
        if self.at == FAULTS_UNTIL {
            self.say(|| "no more faults".to_owned());
            self.cuts.clear();
            self.annotate(names::FENCED_ANNOTATION, "");
            self.api.away_until = 0;
            self.controllers[1].away_until = u64::MAX;
            self.controllers[0].away_until = self.controllers[0].away_until.min(self.at);
            for member in &mut self.members {
                member.cut_from_api_until = 0;
                member.cut_from_controllers_until = 0;
                member.hung_until = 0;
                member.deaf_until = 0;
                member.down_until = member.down_until.min(self.at);
            }
        }
        if self.at < self.fault_at || self.at >= FAULTS_UNTIL {
            return;
        }
        self.fault_at = self.at + self.dice.between(200, 9_000);
        let number = usize::try_from(self.dice.below(self.members.len() as u64)).unwrap();
        let other = usize::try_from(self.dice.below(self.members.len() as u64)).unwrap();
        let long = self.at + self.dice.between(500, 20_000);
        let short = self.at + self.dice.between(100, 3_000);
        let kind = self.dice.below(16);
        let name = self.members[number].name.clone();
        self.say(|| format!("fault {kind} of {name} and {other} until {short} or {long}"));
        match kind {
            0 | 1 => self.members[number].crash(long),
            2 => self.members[number].crash(short),
            3 => self.members[number].hung_until = long,
            4 => self.members[number].cut_from_api_until = long,
            5 => self.members[number].cut_from_controllers_until = long,
            6 => drop(self.cuts.insert((number.min(other), number.max(other)), long)),
            7 => self.api.away_until = short + self.dice.below(8_000),
            8 => self.controllers[0] = Controller::new(short),
            // A second controller that believes to lead, for a while.
            9 => self.controllers[1] = Controller::new(0),
            10 => {
                self.requests += 1;
                let value = if self.dice.percent(50) { "any" } else { &name };
                let value = format!("{value}@{}", self.requests);
                self.annotate(names::SWITCHOVER_ANNOTATION, &value);
            }
            11 => self.api.lease = None,
            // A wall clock is put wrong by up to a day.
            12 => {
                let off = i64::try_from(self.dice.below(2 * DAY_MS)).unwrap();
                self.controllers[0].wall_ms = off - i64::try_from(DAY_MS).unwrap();
            }
            // A watch brings nothing, though the API server answers.
            13 => self.members[number].deaf_until = long,
            // A person fences a member, or unfences whoever was.
            14 => {
                let fenced = if self.dice.percent(60) { name.as_str() } else { "" };
                self.annotate(names::FENCED_ANNOTATION, fenced);
            }
            // The node is silent: cut off from everything, but running.
            _ => {
                let member = &mut self.members[number];
                member.cut_from_api_until = long;
                member.cut_from_controllers_until = long;
                for far in 0..self.members.len() {
                    self.cuts.insert((number.min(far), number.max(far)), long);
                }
            }
        }
    }
}
