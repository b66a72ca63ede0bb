//! The events of the matrix: what happens to a pair while its catalog is changed.

use kudu_pair::{launcher::reigns::ReignEvent, waldir::list_segments};

use super::{changes, metrics, proxy::Proxy, rpc::Client};
use crate::{
    kudu,
    pair::{Pair, is_streaming},
};

/// How many connections are cut at least.
const CUTS: u64 = 10;

/// How often is looked whether something happened, before a table is created or dropped to make it happen; some 1.5 s.
const LOOKS_PER_FILLER: usize = 100;

/// A column of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    ActiveFlushes,
    ActiveCompacts,
    ActiveCollectsItsLog,
    ActiveRestarts,
    StandbyRestarts,
    StreamIsCut,
    BaseIsRefreshed,
}

/// An event that is going on.
pub(crate) struct Happening {
    event: Event,
    proxy: Option<Proxy>,
    /// What [`Self::count`] was when it began.
    before: u64,
    steps: usize,
    step: usize,
    fillers: usize,
}

impl Event {
    /// Sets a pair up for the event; nothing of the pair runs yet.
    pub(crate) fn arrange(self, pair: &mut Pair) -> Happening {
        let mut proxy = None;
        match self {
            // Segments that are small, and gone as soon as Kudu itself does not need them.
            Self::ActiveCollectsItsLog => {
                let flags = ["--log_segment_size_bytes_for_tests=4096", "--log_min_segments_to_retain=1"];
                pair.a.flags.extend(flags.map(str::to_owned));
            }
            Self::StreamIsCut => {
                let to = pair.a.link().parse().expect("an address");
                let started = Proxy::start(kudu::loopback(), to, pair.b.ip);
                pair.route(started.address);
                proxy = Some(started);
            }
            Self::BaseIsRefreshed => pair.refresh_after(20),
            _ => {}
        }
        Happening { event: self, proxy, before: 0, steps: 0, step: 0, fillers: 0 }
    }
}

impl Happening {
    /// Begins; [`Self::step`] is then called `steps` times, before each of that many changes.
    pub(crate) fn begin(&mut self, pair: &mut Pair, steps: usize) {
        (self.before, self.steps, self.step) = (self.count(pair), steps, 0);
        if let Some(proxy) = &self.proxy {
            proxy.cut(true);
        }
    }

    /// Goes on with the event, so that changes fall before, into and behind it.
    pub(crate) fn step(&mut self, pair: &mut Pair, client: &mut Client) {
        self.step += 1;
        let quarter = (0..4).find(|quarter| self.step == self.steps * quarter / 4 + 1);
        match (self.event, quarter) {
            (Event::ActiveFlushes | Event::ActiveCompacts | Event::ActiveCollectsItsLog, Some(2)) => {
                self.wait(pair, client);
            }
            // The change that follows finds nobody there.
            (Event::ActiveRestarts, Some(1 | 3)) => drop(pair.a.crash_master()),
            (Event::StandbyRestarts, Some(0)) => pair.b.crash_sidecar(),
            (Event::StandbyRestarts, Some(1)) => pair.b.start_sidecar(),
            (Event::StandbyRestarts, Some(2)) => pair.b.crash(),
            (Event::StandbyRestarts, Some(3)) => pair.b.start(),
            _ => {}
        }
    }

    /// Waits until it has happened, and is over.
    pub(crate) fn end(&mut self, pair: &mut Pair, client: &mut Client) {
        self.wait(pair, client);
        if let Some(proxy) = &self.proxy {
            proxy.cut(false);
        }
        pair.b.wait_until("b streams", is_streaming);
    }

    /// Waits until it has happened since it began, or was last waited for. Meanwhile a table comes or goes now and then: a
    /// catalog at rest gives a master no reason to do anything, and one that never rests no time.
    fn wait(&mut self, pair: &Pair, client: &mut Client) {
        let wanted = self.before + if self.event == Event::StreamIsCut { CUTS } else { 1 };
        let mut looks = 0;
        kudu::wait_for(&format!("{:?}", self.event), || {
            if self.count(pair) >= wanted {
                return true;
            }
            looks += 1;
            if looks % LOOKS_PER_FILLER == 0 {
                self.fillers += 1;
                let name = format!("filler_{}", self.fillers.div_ceil(2));
                match self.fillers % 2 {
                    0 => client.drop_table(&name),
                    _ => changes::create(client, &name),
                }
            }
            false
        });
        self.before = self.count(pair);
    }

    /// A number that grows when it happens.
    fn count(&self, pair: &Pair) -> u64 {
        match self.event {
            // Of new rows and of changes to rows.
            Event::ActiveFlushes => {
                let kinds = ["flush_mrs_duration", "flush_dms_duration"];
                kinds.iter().map(|kind| operations(pair, kind)).min().unwrap_or_default()
            }
            Event::ActiveCompacts => {
                let kinds =
                    ["compact_rs_duration", "delta_minor_compact_rs_duration", "delta_major_compact_rs_duration"];
                kinds.iter().map(|kind| operations(pair, kind)).sum()
            }
            Event::ActiveCollectsItsLog => {
                let segments = list_segments(&pair.a.log_folder()).expect("a log");
                segments.first().map_or(0, |segment| segment.sequence_number)
            }
            Event::ActiveRestarts => {
                let starts = pair.a.reigns().iter().filter(|reign| reign.event == ReignEvent::Started).count();
                u64::try_from(starts).unwrap_or_default()
            }
            // Its steps are what happens.
            Event::StandbyRestarts => u64::try_from(self.step).unwrap_or_default(),
            Event::BaseIsRefreshed => {
                // For a moment there are two, or the one that is not in use is being removed.
                let numbers =
                    pair.b.generations().into_iter().filter_map(|name| name.strip_prefix("gen-")?.parse().ok());
                numbers.min().unwrap_or_default()
            }
            Event::StreamIsCut => self.proxy.as_ref().map_or(0, Proxy::cuts),
        }
    }
}

/// How often the active's master has done such maintenance in its system catalog.
fn operations(pair: &Pair, kind: &str) -> u64 {
    metrics::of_catalog(&pair.client, kind)["total_count"].as_u64().expect("a count")
}
