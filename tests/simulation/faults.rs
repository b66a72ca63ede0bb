//! What goes wrong.

use std::time::Duration;

use kudu_pair::replication::feed;

use crate::{
    network::End,
    world::{Due, WEATHER, World},
};

impl World {
    /// One thing goes wrong, and the next one is due, as long as the weather lasts.
    pub(crate) fn fault(&mut self) {
        if self.now >= WEATHER {
            return;
        }
        self.soon(700, Due::Fault);
        match self.rng.u8(0..100) {
            0..25 => self.cut(),
            25..40 => self.silence(),
            40..50 => self.damage(),
            50..65 => {
                let member = self.rng.usize(0..self.members.len());
                self.crash(member);
            }
            65..85 => self.promote(),
            85..90 => self.replay(),
            90..95 if !self.alters => {
                let count = self.rng.usize(0..60);
                self.members[self.active].disk.collect(count);
            }
            _ => self.tell_everybody(),
        }
    }

    /// How long a frame is on its way; now and then very long, so that other connections overtake it.
    pub(crate) fn delay(&mut self) -> Duration {
        let milliseconds = if self.rng.u8(..) < 4 { 800 } else { 8 };
        Duration::from_micros(self.rng.u64(100..=milliseconds * 1000))
    }

    fn some_connection(&mut self) -> Option<usize> {
        let alive: Vec<_> = (0..self.connections.len())
            .filter(|number| self.connections[*number].feed.is_some() || self.connections[*number].follower.is_some())
            .collect();
        self.rng.choice(alive)
    }

    /// A connection breaks, and what was on its way is lost from some frame on.
    fn cut(&mut self) {
        let Some(connection) = self.some_connection() else { return };
        for end in [End::Active, End::Standby] {
            let (at, kept) = (self.now + self.delay(), self.rng.usize(0..4));
            let at = self.connections[connection].pipe_to(end).cut(at, kept);
            self.at(at, Due::Arrival(connection, end));
        }
    }

    /// One direction of a connection, or both, goes silent, and nobody is told.
    fn silence(&mut self) {
        let Some(connection) = self.some_connection() else { return };
        let which = self.rng.u8(0..3);
        let here = &mut self.connections[connection];
        here.to_active.silent |= which != 0;
        here.to_standby.silent |= which != 1;
    }

    fn damage(&mut self) {
        let Some(connection) = self.some_connection() else { return };
        let (bit, end) = (self.rng.usize(..), if self.rng.bool() { End::Active } else { End::Standby });
        self.connections[connection].pipe_to(end).damage(bit);
    }

    /// A standby hears in a stream what an active of an earlier reign once said.
    fn replay(&mut self) {
        let Some(connection) = self.some_connection() else { return };
        let Some(life) = self.connections[connection].life else { return };
        let before = self.lives[life].epoch;
        let earlier: Vec<_> = self.overheard.iter().filter(|(epoch, _)| *epoch < before).cloned().collect();
        if let Some((epoch, message)) = self.rng.choice(earlier) {
            self.send(connection, End::Standby, epoch, message);
        }
    }

    /// A process dies, or with it the machine, which takes what was not flushed; it comes back after a while.
    fn crash(&mut self, member: usize) {
        if !self.members[member].up {
            return;
        }
        self.deeds.crashes += 1;
        let machine = self.rng.bool();
        for connection in 0..self.connections.len() {
            let here = &mut self.connections[connection];
            let gone = if here.active == member && here.feed.take().is_some() {
                End::Active
            } else if here.standby == member && here.follower.take().is_some() {
                End::Standby
            } else {
                continue;
            };
            match machine {
                true => here.pipe_to(gone.other()).silent = true,
                false => self.close(connection, gone.other()),
            }
        }
        let lost = if machine { self.rng.usize(0..20) } else { 0 };
        let here = &mut self.members[member];
        here.disk.lose_power(lost);
        here.witness.saw_flush(&here.disk);
        here.boot += 1;
        here.up = false;
        (here.reign, here.follows, here.connection) = (None, None, None);
        (here.storing, here.copying) = (false, false);
        self.soon(2000, Due::Restart { member });
    }

    /// A member is made the active of the next reign. The one before writes no more; its sidecar does not know yet.
    fn promote(&mut self) {
        let able: Vec<_> = (0..self.members.len())
            .filter(|member| self.members[*member].up && !self.members[*member].disk.log().is_empty())
            .collect();
        let Some(chosen) = self.rng.choice(able) else { return };
        self.deeds.promotions += 1;
        let before = self.active;
        (self.epoch, self.active) = (self.epoch + 1, chosen);
        if before == chosen {
            // Its own reign ends before the next begins.
            for connection in 0..self.connections.len() {
                if self.connections[connection].active == chosen {
                    self.feed(connection, feed::Event::ReignEnded);
                }
            }
            self.members[chosen].reign = None;
        }
        self.tell_everybody();
    }
}
