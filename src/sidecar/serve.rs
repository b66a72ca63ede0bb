//! The duty of an active: hold the Lease, run kudu-master, offer its log.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{task::JoinHandle, time::sleep};

use super::{
    SidecarError,
    acknowledgements::Begun,
    canary::Canary,
    coordinator::Acquired,
    generation,
    member::{Duty, Member},
    prober::Prober,
    replay::{Ahead, LogAtRest, Wanted},
    retention,
    shipping::{Shipping, blocking},
    tenancy::{Standing, Tenancy, Tenant},
};
use crate::{
    api::{MemberState, Role},
    clock,
    failover::{
        hung::{Pulse, Seen, Verdict},
        order::Order,
        stalled::{self, WritePath},
    },
    launcher::{
        client::LauncherError,
        protocol::{Generation, LauncherStatus, MasterState, Request, StopReason},
    },
    probe,
    replication::{replay::measured_rate, terms},
    wal::OpId,
};

mod ending;

pub(super) use ending::stand_down;

use ending::release;

/// Pause before a Lease that may not be taken yet is looked at again.
const ACQUIRE_PAUSE: Duration = Duration::from_millis(50);
/// Pause between two looks at the launcher.
const WATCH_PAUSE: Duration = Duration::from_millis(200);

/// A standby that was heard so short a time ago streams, and could take over.
const STREAMS: Duration = Duration::from_millis(1500);

/// Why a reign ends.
#[derive(Debug)]
enum End {
    /// Another order, or the sidecar is ending.
    Ordered(Option<Order>),
    /// Another member may take over from now on.
    LeaseLost,
    /// The launcher's container was restarted; its kudu-master is dead.
    LauncherRestarted,
    /// kudu-master does not stay up.
    CrashLoop(String),
    /// kudu-master does not answer, though it was restarted.
    Hung,
    /// The volume of the log takes no writes, and a standby streams.
    Stalled(Duration),
}

/// Serves in `epoch` until the order changes or the Lease is lost.
pub(super) async fn run(
    member: &mut Member,
    duty: &mut Duty,
    epoch: i64,
    gate: Option<OpId>,
    format: Option<String>,
) -> Result<(), SidecarError> {
    member.board.enter(Role::Standby, MemberState::Promoting);
    member.waiting_room.close().await;
    let Some(launcher) = member.launcher_status(duty).await? else { return Ok(()) };
    let resumed = matches!(launcher.master, MasterState::Running { epoch: running, .. } if running == epoch);
    if !resumed {
        member.stop_master().await?;
    }
    if launcher.sync_gate && member.config.sync_gate_socket.is_none() {
        return Err(SidecarError::NoGateSocket);
    }
    let Some(tenancy) = acquire(member, duty, &launcher, epoch, resumed).await? else { return Ok(()) };
    member.obey(epoch)?;
    let mut reign = Reign {
        tenancy,
        launcher,
        epoch,
        generation: String::new(),
        replays: 0,
        begun: Instant::now(),
        process: None,
        pulse: Pulse::new(clock::boot_ns()),
        write_path: WritePath::default(),
        reading: None,
    };
    let first = format.is_some();
    let begun = reign.begin(member, gate, format, resumed).await;
    let (shipping, own_head) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            // Nothing ran in this reign: give the Lease back, so that another member can be chosen at once.
            member.stop_master().await?;
            let head = member.board.facts().head;
            release(member, epoch, &member.identity(&reign.launcher), head).await;
            return Err(error);
        }
    };
    let offer = member.shipping.offer(&shipping);
    let answering = reign.launcher.sync_gate.then(|| {
        let begun = match (first, resumed) {
            (true, _) => Begun::First,
            (false, true) => Begun::Before,
            (false, false) => Begun::At(own_head),
        };
        let (coordinator, board) = (Arc::clone(&member.coordinator), Arc::clone(&member.board));
        let identity = member.identity(&reign.launcher);
        member.acknowledgements.begin(coordinator, board, identity, Arc::clone(&shipping), begun)
    });
    let end = reign.watch(member, duty, &shipping, own_head, resumed).await?;
    // What waits for a permit now never gets it: kudu-master is stopped next.
    drop(answering);
    tracing::info!(epoch, ?end, "the reign ends");
    reign.end(member, end, &shipping, &offer).await
}

async fn acquire(
    member: &mut Member,
    duty: &mut Duty,
    launcher: &LauncherStatus,
    epoch: i64,
    resumed: bool,
) -> Result<Option<Tenancy>, SidecarError> {
    let identity = member.identity(launcher);
    if member.released == epoch {
        // Somebody may have been promoted since, and without Kubernetes there is no Lease that would say so.
        member.board.facts().message = Some(format!(
            "the reign of epoch {epoch} has ended here; this member serves again when it is promoted in a newer epoch"
        ));
        duty.over().await;
        return Ok(None);
    }
    loop {
        if !keep_pledge(member, duty, resumed).await {
            return Ok(None);
        }
        let roster = member.coordinator.roster();
        match member.coordinator.acquire(&identity, epoch, launcher.sync_gate, &roster).await? {
            Acquired::Until(grant) => {
                let tenant = Tenant {
                    coordinator: Arc::clone(&member.coordinator),
                    board: Arc::clone(&member.board),
                    asking: member.asking.clone(),
                    pledges: member.pledges.clone(),
                    launcher_socket: member.config.launcher_socket.clone(),
                    member: member.config.member.clone(),
                    identity,
                    epoch,
                };
                return Ok(Some(Tenancy::begin(tenant, grant, roster)));
            }
            Acquired::Inherited => {
                // An earlier run of the launcher held it and is dead: its reign is over. The log says how far it came.
                member.look_at_log().await?;
                let head = member.board.facts().head;
                release(member, epoch, &identity, head).await;
            }
            Acquired::NotYet(reason) => member.board.facts().message = Some(reason),
        }
        tokio::select! {
            () = duty.over() => return Ok(None),
            () = sleep(ACQUIRE_PAUSE) => {}
        }
    }
}

/// Waits until this member has pledged nothing any more, and removes what is left of a pledge: what is on disk when the Lease is
/// taken would delay the reign's next start. False when the order changes first.
///
/// A kudu-master that runs in this very reign needs no such wait: it is this pod's own.
async fn keep_pledge(member: &Member, duty: &mut Duty, resumed: bool) -> bool {
    let Some(pledges) = member.pledges.clone().filter(|_| !resumed) else { return true };
    while let Some((why, wait)) = pledges.binds() {
        member.board.facts().message = Some(why);
        tokio::select! {
            () = duty.over() => return false,
            () = sleep(wait) => {}
        }
    }
    pledges.forget().await;
    true
}

struct Reign {
    tenancy: Tenancy,
    launcher: LauncherStatus,
    epoch: i64,
    generation: Generation,
    /// Operations that this reign's first start has to replay.
    replays: u64,
    begun: Instant,
    /// The kudu-master that ran when the launcher was asked last.
    process: Option<i32>,
    /// What its probes saw.
    pulse: Pulse,
    /// What its canary on the volume of the log did.
    write_path: WritePath,
    /// Reads what a replay in place needs.
    reading: Option<JoinHandle<Ahead>>,
}

impl Reign {
    /// Starts kudu-master, unless it runs already, and follows its log. Returns the head that it was started from.
    async fn begin(
        &mut self,
        member: &mut Member,
        gate: Option<OpId>,
        format: Option<String>,
        resumed: bool,
    ) -> Result<(Arc<Shipping>, Option<OpId>), SidecarError> {
        let mut own_head = None;
        self.generation = match (member.anchors.current().generation, format) {
            (Some(generation), _) => generation,
            (None, Some(uuid)) => self.format(member, uuid).await?,
            (None, None) => return Err(SidecarError::NoCatalog),
        };
        if !resumed {
            member.tidy().await?;
            own_head = self.prepare(member, gate).await?;
            self.begun = Instant::now();
            self.start(member).await?;
        }
        let folder = generation::log_folder(&member.config.wal_dir, &self.generation);
        retention::clear(&member.config.wal_dir, Some(self.epoch))?;
        let held = retention::folder(&member.config.wal_dir, self.epoch);
        let shipping = Shipping::begin(self.epoch, member.anchors.current().uuid, folder, held);
        let (board, coordinator) = (Arc::clone(&member.board), Arc::clone(&member.coordinator));
        retention::begin(&shipping, member.config.wal_dir.clone(), board, coordinator).await;
        Ok((shipping, own_head))
    }

    /// Formats the pair's catalog: only ever ordered until the pair's first active has served.
    async fn format(&self, member: &mut Member, uuid: String) -> Result<Generation, SidecarError> {
        member.board.enter(Role::Standby, MemberState::Formatting);
        let generation = generation::next(&member.anchors)?;
        member.call(Request::Format { generation: generation.clone(), uuid: uuid.clone() }).await?;
        generation::adopt(&member.anchors, &generation, &uuid, None)?;
        member.board.facts().catalog_uuid = Some(uuid);
        member.board.enter(Role::Standby, MemberState::Promoting);
        Ok(generation)
    }

    /// Checks the log against the gate and raises the term into this reign's own range.
    async fn prepare(&mut self, member: &Member, gate: Option<OpId>) -> Result<Option<OpId>, SidecarError> {
        let folder = generation::log_folder(&member.config.wal_dir, &self.generation);
        let wanted = member.wanted_replays(true);
        // A catalog that was just formatted has no log yet. One that was torn by a crash is mended here.
        let log = match (folder.exists(), wanted.is_empty()) {
            (false, _) => None,
            (true, true) => Some(blocking(move || LogAtRest::check(&folder)).await?),
            (true, false) => Some(blocking(move || LogAtRest::read(&folder)).await?),
        };
        let head = log.as_ref().and_then(LogAtRest::head);
        self.replays = log.as_ref().map_or(0, LogAtRest::pending_ops);
        member.board.facts().head = head;
        if let Some(gate) = gate.filter(|gate| head.is_none_or(|head| head < *gate)) {
            return Err(SidecarError::BelowGate { gate, head: head.unwrap_or_default() });
        }
        let floor = terms::floor(self.epoch);
        let replayed = match log.filter(|log| log.head().is_some()) {
            Some(log) => member.replay_gaps(log, wanted, Ahead::new(), floor).await,
            None => None,
        };
        member.call(Request::SetTerm { generation: self.generation.clone(), term: floor }).await?;
        Ok(replayed.or(head))
    }

    async fn start(&self, member: &Member) -> Result<LauncherStatus, SidecarError> {
        let Standing::Held { deadline_boot_ns } = self.tenancy.standing() else {
            return Err(SidecarError::Coordinator("the Lease was lost before kudu-master was started".to_owned()));
        };
        member.call(Request::Start { epoch: self.epoch, generation: self.generation.clone(), deadline_boot_ns }).await
    }

    /// Watches Lease, launcher and log until the reign ends.
    async fn watch(
        &mut self,
        member: &mut Member,
        duty: &mut Duty,
        shipping: &Shipping,
        own_head: Option<OpId>,
        resumed: bool,
    ) -> Result<End, SidecarError> {
        let mut heads = shipping.heads();
        member.board.enter(Role::Active, MemberState::Promoting);
        member.board.facts().master_rpc = self.launcher.rpc_bind.as_deref().map(probe::own_address);
        let mut serving = false;
        let canary = Canary::begin(&member.config.wal_dir)?;
        let mut prober = Prober::begin(self.launcher.rpc_bind.as_deref(), member.acknowledgements.clone());
        loop {
            let seen = *heads.borrow_and_update();
            {
                let mut facts = member.board.facts();
                (facts.head, facts.applied_head) = (seen.head, seen.applied);
            }
            if !serving && has_opened(shipping, seen.opened, own_head, resumed) {
                serving = true;
                self.learn(member);
                member.acquit()?;
                member.board.enter(Role::Active, MemberState::Serving);
            }
            let seen = tokio::select! {
                biased;
                () = duty.over() => return Ok(End::Ordered(duty.next())),
                () = self.tenancy.lost() => return Ok(End::LeaseLost),
                seen = prober.next() => Some(seen),
                changed = heads.changed() => {
                    if changed.is_err() {
                        sleep(WATCH_PAUSE).await;
                    }
                    None
                }
                () = sleep(WATCH_PAUSE) => None,
            };
            if let Some(seen) = seen.filter(|_| serving)
                && let Some(end) = self.judge(member, seen).await?
            {
                return Ok(end);
            }
            if serving && let Some(end) = self.look_at_disk(member, &canary) {
                return Ok(end);
            }
            if serving {
                member.settle_gaps().await;
                if let Some((wanted, ahead)) = self.read_ahead(member).await {
                    self.replay_in_place(member, wanted, ahead).await?;
                }
            }
            match member.call(Request::Status).await {
                Ok(status) if status.instance != self.launcher.instance => return Ok(End::LauncherRestarted),
                Ok(status) => {
                    if let Some(end) = self.check(member, status).await? {
                        return Ok(end);
                    }
                }
                Err(SidecarError::Launcher(LauncherError::NotThere { .. })) => {}
                Err(error) => tracing::warn!(%error, "the launcher does not answer"),
            }
        }
    }

    /// Remembers how fast this promotion replayed, for the prediction of the next one.
    fn learn(&self, member: &mut Member) {
        let Some(rate) = measured_rate(self.replays, self.begun.elapsed()) else { return };
        tracing::info!(ops = self.replays, ops_per_second = rate, "replayed");
        if let Err(error) = member.anchors.update(|anchors| anchors.replay_ops_per_second = Some(rate)) {
            tracing::warn!(%error, "the rate cannot be remembered");
        }
    }

    /// What a probe means.
    async fn judge(&mut self, member: &Member, seen: Seen) -> Result<Option<End>, SidecarError> {
        match self.pulse.saw(seen, clock::boot_ns()) {
            Verdict::Well => Ok(None),
            Verdict::Restart => {
                tracing::warn!(epoch = self.epoch, "kudu-master answers nobody: it is restarted in place");
                member.call(Request::Stop).await?;
                self.start(member).await?;
                member.board.facts().message =
                    Some("kudu-master took connections and answered none; it was restarted in place".to_owned());
                Ok(None)
            }
            Verdict::GiveUp => Ok(Some(End::Hung)),
        }
    }

    /// The gaps that somebody wants replayed into the log of the kudu-master that runs, once what they need was read beside it.
    async fn read_ahead(&mut self, member: &Member) -> Option<(Vec<Wanted>, Ahead)> {
        let wanted = member.wanted_replays(false);
        if wanted.is_empty() {
            self.reading = None;
            return None;
        }
        let log = generation::log_folder(&member.config.wal_dir, &self.generation);
        let reading = self.reading.get_or_insert_with(|| member.read_ahead(log, wanted.clone()));
        if !reading.is_finished() {
            return None;
        }
        let ahead = self.reading.take()?.await.unwrap_or_default();
        let wanted = member.decide_without_restart(wanted, &ahead).await;
        (!wanted.is_empty()).then_some((wanted, ahead))
    }

    /// Stops kudu-master, adds what gaps have to its log, and starts it again. Clients wait meanwhile, about as long as a start of
    /// kudu-master takes.
    async fn replay_in_place(
        &mut self,
        member: &Member,
        wanted: Vec<Wanted>,
        ahead: Ahead,
    ) -> Result<(), SidecarError> {
        tracing::info!(epoch = self.epoch, "kudu-master is restarted in place to replay a gap");
        let stopped = Instant::now();
        member.call(Request::Stop).await?;
        let folder = generation::log_folder(&member.config.wal_dir, &self.generation);
        match blocking(move || LogAtRest::read(&folder)).await {
            Ok(log) => {
                if let Some(last) = member.replay_gaps(log, wanted, ahead, terms::floor(self.epoch)).await {
                    member.call(Request::SetTerm { generation: self.generation.clone(), term: last.term }).await?;
                }
            }
            Err(error) => member.cannot_replay(wanted, &error).await,
        }
        tracing::info!(milliseconds = stopped.elapsed().as_millis(), "kudu-master is started again");
        self.start(member).await?;
        Ok(())
    }

    /// What it means that the volume of the log takes writes, or takes none.
    fn look_at_disk(&mut self, member: &Member, canary: &Canary) -> Option<End> {
        let silent = canary.silent_for();
        let mut facts = member.board.facts();
        let standby = facts.standbys.values().any(|standby| standby.heard.elapsed() < STREAMS);
        let stall = || SidecarError::Stalled { path: member.config.wal_dir.clone(), silent };
        match self.write_path.look(silent, standby, clock::boot_ns()) {
            stalled::Verdict::Well => {
                if facts.stalled.take().is_some() {
                    tracing::info!("the volume of the log takes writes again");
                }
                None
            }
            stalled::Verdict::Stay => {
                let words = format!("{}; it goes on, since no standby streams that could take over", stall());
                if facts.stalled.replace(words.clone()).is_none() {
                    tracing::error!("{words}");
                }
                None
            }
            stalled::Verdict::GiveUp => Some(End::Stalled(silent)),
        }
    }

    /// What it means that kudu-master is another process than before, or stopped.
    async fn check(&mut self, member: &Member, status: LauncherStatus) -> Result<Option<End>, SidecarError> {
        if let MasterState::Running { pid: Some(pid), .. } = status.master
            && self.process.replace(pid) != Some(pid)
        {
            self.pulse.began(clock::boot_ns());
        }
        let MasterState::Stopped { reason, last_words, .. } = status.master else { return Ok(None) };
        let words = last_words.unwrap_or_default();
        Ok(match reason {
            StopReason::CrashLoop => Some(End::CrashLoop(words)),
            StopReason::Ending => Some(End::LauncherRestarted),
            // The Lease could not be renewed in time, but nobody took it: the reign goes on.
            StopReason::LeaseOver | StopReason::Asked => {
                if let Standing::Held { deadline_boot_ns } = self.tenancy.standing()
                    && deadline_boot_ns.is_none_or(|deadline| clock::boot_ns() < deadline)
                {
                    self.start(member).await?;
                }
                None
            }
        })
    }
}

/// Whether the log shows that the reign serves: its first NO_OP is applied, and with it all that it was started from.
fn has_opened(shipping: &Shipping, opened: Option<OpId>, own_head: Option<OpId>, resumed: bool) -> bool {
    let own_term = |op: &OpId| terms::epoch_of(op.term) >= shipping.epoch();
    let Some(opened) = opened.filter(own_term) else { return false };
    // Of a reign that was taken over while it ran, any NO_OP of its own will do: kudu-master applied it long ago.
    (resumed || own_head.is_none_or(|head| opened > head)) && own_head.is_none_or(|head| shipping.has_applied(head))
}
