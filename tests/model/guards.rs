//! The places where the protocol says no, and what comes of it when one of them does not.

use crate::{promises, setup, setup::Setup};

/// A place where the protocol says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// A Lease is fenced only when it is over.
    LeaseIsOver,
    /// The fence replaces the very version that was seen.
    FenceVersion,
    /// The Lease of another holder, or for another epoch, is not taken.
    Claim,
    /// kudu-master is killed when its deadline passes.
    Deadline,
    /// While a standby still hears the old active, nobody takes over.
    StillHeard,
    /// The Lease is given back only after kudu-master's death.
    StopBeforeRelease,
    /// A member is not started with a log that ends before the gate.
    Gate,
    /// Nobody takes over who may lack what was acknowledged.
    Promise,
    /// An operation is acknowledged after the permit.
    Permit,
    /// A changed promise is in the Lease before it is relied on.
    Record,
    /// Logs are compared by terms, not by length.
    Rejoin,
}

/// A guard that is broken, and the promise that is then.
pub(crate) struct Broken {
    pub(crate) guard: Guard,
    pub(crate) promise: &'static str,
    /// The smallest pair in which it shows.
    pub(crate) setup: fn() -> Setup,
}

/// Each guard with the promise that rests on it.
pub(crate) const BROKEN: [Broken; 11] = [
    Broken { guard: Guard::LeaseIsOver, promise: promises::ONE_MASTER, setup: setup::asynchronous },
    Broken { guard: Guard::FenceVersion, promise: promises::ONE_MASTER, setup: setup::deaf },
    Broken { guard: Guard::Claim, promise: promises::ONE_MASTER, setup: setup::deaf },
    Broken { guard: Guard::Deadline, promise: promises::ONE_MASTER, setup: setup::partitions },
    Broken { guard: Guard::StillHeard, promise: promises::ONE_MASTER, setup: setup::late },
    Broken { guard: Guard::StopBeforeRelease, promise: promises::ONE_MASTER, setup: setup::asked },
    Broken { guard: Guard::Gate, promise: promises::GATE, setup: setup::restored },
    Broken { guard: Guard::Promise, promise: promises::NOTHING_LOST, setup: setup::alone },
    Broken { guard: Guard::Permit, promise: promises::NOTHING_LOST, setup: setup::blocking },
    Broken { guard: Guard::Record, promise: promises::NOTHING_LOST, setup: setup::degrading },
    Broken { guard: Guard::Rejoin, promise: promises::SAME_LOG, setup: setup::partitions },
];
