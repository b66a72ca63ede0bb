//! Every bound that a decision uses and that is not in the spec, each with its reason.

use std::time::Duration;

/// A report older than this no longer says how a member is: two polls of peace may be lost.
pub const HEARD: Duration = Duration::from_millis(3000);

/// A standby that heard the active serve so short a time ago has not lost it. Shorter than what lies between the death of
/// a master whose Lease ran out and the Lease's end (`leaseDuration - renewDeadline - killTime`, 1 s by default), so that
/// it costs a failover nothing unless the old active really goes on.
pub const STILL_SERVING: Duration = Duration::from_millis(500);

/// A standby further behind does not count as in sync and is not switched to by plan: at the 6,000 operations a second at
/// which Kudu applies pending ones, 10,000 are 1.7 s.
pub const MAX_LAG_OPS: i64 = 10_000;

/// After the fence, so long a better candidate is awaited before the best one heard is taken.
pub const CHOICE_WAIT: Duration = Duration::from_secs(3);

/// A successor that is not heard for so long will not receive the rest of the old active's log.
pub const SUCCESSOR_LOST: Duration = Duration::from_secs(3);

/// A chosen member that is not heard has so long to take the Lease before another one is chosen.
pub const TAKE_LEASE_UNHEARD: Duration = Duration::from_secs(3);

/// A chosen member that is heard has so long to take the Lease before another one is chosen.
pub const TAKE_LEASE: Duration = Duration::from_secs(15);

/// A member that was tried in this switch and did not come to serve is tried again only so long after the next fence, when
/// no other one could be taken until then.
pub const TRY_AGAIN: Duration = Duration::from_secs(5);

/// A chosen member that holds the Lease has so long to come to serve before another one, which is known to be able to, is
/// chosen. 5,000 tables take 10 s.
pub const REPLAY_PATIENCE: Duration = Duration::from_secs(120);

/// After a planned switch of the operator's own went back to the old active, so long no new one is made by itself: each
/// try stops the service for a moment.
pub const OWN_SWITCH_AGAIN: Duration = Duration::from_secs(600);

/// Failovers within so long count against `spec.failover.failoversPerHour`.
pub const FAILOVER_WINDOW: Duration = Duration::from_secs(3600);

/// The pause before the first failover beyond the budget: a kudu-master that dies as soon as it is opened has shown that by then.
pub const FIRST_PAUSE: Duration = Duration::from_secs(60);

/// The longest pause: about as long as it takes to call a person.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(900);

/// An old active that is still heard so long after its Lease was over needs a person: it should have been killed.
pub const STILL_HEARD_LONG: Duration = Duration::from_secs(30);

/// Receipts that are kept.
pub const RECEIPTS: usize = 10;

/// A pod that runs an old revision, is not ready and is not heard for so long may be replaced although the pair is not
/// whole: it is of no use to anyone, and its new revision may be the cure.
pub const USELESS_POD: Duration = Duration::from_secs(10);

/// How often members are asked, and the pair is looked at, in peace.
pub const LOOK_IN_PEACE: Duration = Duration::from_secs(1);

/// How often members are asked, and the pair is looked at, while a switch is under way.
pub const LOOK_IN_SWITCH: Duration = Duration::from_millis(50);

/// A status that differs from the last one in nothing but heads and lag is written so often, not at each look.
pub const FRESH_NUMBERS: Duration = Duration::from_secs(10);

/// By so much the wall clocks of two controllers may differ; clocks that NTP keeps differ by milliseconds.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5);

/// One that differs in nothing but the moments at which standbys were level is written so often: a third of the shortest
/// `maxLossSeconds` that anybody would set for a failover without approval.
pub const FRESH_MOMENTS: Duration = Duration::from_secs(20);

/// What a standby has acknowledged is compared with the active's log every two seconds, or a few MiB a second. When there is
/// something new and so long nothing was compared, it is not known to be equal any more.
pub const VERIFICATION_OVERDUE: Duration = Duration::from_secs(60);

/// At most so much time between two looks at a Lease counts as time in which it was seen unchanged: while the API server is
/// away nobody can renew, and that says nothing about the holder.
pub const LEASE_LOOK_GAP: Duration = Duration::from_secs(2);

/// A kudu-master that serves is asked so often whether it answers.
pub const PROBE_EVERY: Duration = Duration::from_secs(1);

/// An answer that takes longer is none: clients give an RPC ten seconds, and a machine that is busy with other things answers in
/// less than one.
pub const PROBE_PATIENCE: Duration = Duration::from_secs(3);

/// So many probes in a row without an answer mean that kudu-master is hung: five to six seconds after it was well.
pub const HUNG_PROBES: u32 = 3;

/// A process that was started has so long to give its first answer: it opens its files and rewrites its log before, which
/// takes a catalog of 5,000 tables 10 s.
pub const PROBE_START: Duration = Duration::from_secs(60);

/// A kudu-master that hangs again within so long after it was restarted for that is given up.
pub const HUNG_AGAIN: Duration = Duration::from_secs(600);

/// A disk that has taken no write for so long stalls. With [`DISK_CONFIRM`] five seconds: a client gives one RPC ten.
pub const DISK_STALL: Duration = Duration::from_secs(4);

/// It is looked so much longer whether it goes on.
pub const DISK_CONFIRM: Duration = Duration::from_secs(1);
