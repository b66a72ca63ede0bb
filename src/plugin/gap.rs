//! `gap`: what only a lost active had, and what is to become of it.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    time::Duration,
};

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    Plugin,
    ask::{Wish, ask, tell, unique},
    cluster::{Cluster, Told},
    exit::Exit,
    look::Look,
    style::{Cell, Style, Tone, table},
    words::{ago, bytes},
};
use crate::api::{GapStatus, names};

/// A replay restarts the active in place, which takes seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Show the operations that only a lost active had, and decide about them.
///
/// When a lost active comes back, what only it had (a gap) is kept on its volume. `gap list` shows every gap with what people did in it,
/// `gap show` each of its operations, `gap plan` what a replay would do with each table and why. `gap replay` adds to the active's log what
/// does not conflict with what was done since, and restarts the active for that: clients wait for as long as kudu-master takes to start,
/// which is less than a second with a small catalog. `gap discard` gives it up. `show` and `plan` run `kudu-pair gap` in the pod of the
/// member that keeps the gap: they need the right to create pods/exec.
#[derive(Args, Debug)]
pub(super) struct GapArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// List all gaps, with what became of them.
    #[command(alias = "ls")]
    List {
        /// The pair.
        pair: Option<String>,
    },
    /// Tell each operation of a gap as what a person or Kudu did, with time and OpId.
    Show {
        #[command(flatten)]
        named: Named,
        /// Leave out what Kudu did by itself.
        #[arg(long)]
        people: bool,
    },
    /// Say for each table whether it would be replayed, why, and what each choice would do. Nothing is changed.
    ///
    /// It is planned against the log of the member that keeps the gap, which follows the active's. Exit status 3: a table conflicts.
    Plan(Named),
    /// Show the plan and replay what does not conflict.
    Replay(Named),
    /// Give a gap up. It stays on the member's volume.
    Discard(Named),
}

/// One gap.
#[derive(Args, Debug)]
struct Named {
    /// The gap, as `gap list` names it.
    gap: String,
    /// The pair.
    pair: Option<String>,
}

impl Plugin {
    pub(super) async fn gap(&self, cluster: &Cluster, args: &GapArgs) -> anyhow::Result<Exit> {
        let (what, named) = match &args.command {
            Command::List { pair } => {
                let look = cluster.look(pair.as_deref()).await?;
                self.print(&look.status().gaps, |style| text(&look, style))?;
                return Ok(Exit::Done);
            }
            Command::Show { named, people } => {
                let look = cluster.look(named.pair.as_deref()).await?;
                let more: &[&str] = if *people { &["--people"] } else { &[] };
                return self.print_told(&self.tell_of(cluster, &look, "show", &named.gap, more).await?);
            }
            Command::Plan(named) => {
                let look = cluster.look(named.pair.as_deref()).await?;
                return self.print_told(&self.plan(cluster, &look, &named.gap).await?);
            }
            Command::Replay(named) => ("replay", named),
            Command::Discard(named) => ("discard", named),
        };
        let look = cluster.look(named.pair.as_deref()).await?;
        find(&look, &named.gap)?;
        if what == "replay" && self.output.is_none() {
            // Before anything runs. A member that cannot be asked keeps nobody from replaying.
            match self.plan(cluster, &look, &named.gap).await {
                Ok(told) => self.print_told(&told).map(drop)?,
                Err(error) => tell(&format!("the plan cannot be shown: {error:#}")),
            }
        }
        let value = unique(&format!("{what}:{}", named.gap), look.now);
        let value = match cluster.who_am_i().await {
            Some(user) => format!("{value} {user}"),
            None => value,
        };
        let outcome = ask(cluster, &look, Wish::Gap, &value, PATIENCE).await?;
        self.outcome(&outcome)
    }

    async fn plan(&self, cluster: &Cluster, look: &Look, gap: &str) -> anyhow::Result<Told> {
        let master = format!("{}:{}", look.name(), names::RPC_PORT);
        self.tell_of(cluster, look, "plan", gap, &["--master", &master]).await
    }

    /// What `kudu-pair gap` says in the pod of the member that keeps the gap.
    async fn tell_of(
        &self,
        cluster: &Cluster,
        look: &Look,
        command: &str,
        gap: &str,
        more: &[&str],
    ) -> anyhow::Result<Told> {
        let member = find(look, gap)?.member;
        let folder = format!("{}/gaps/{gap}", names::WAL_PATH);
        let format = if self.output.is_none() { "text" } else { "json" };
        let words = [&[names::OPERATOR_PROGRAM, "gap", command, &folder, "-o", format], more].concat();
        cluster.exec(&member, names::REPLICATION_CONTAINER, &words).await
    }

    fn print_told(&self, told: &Told) -> anyhow::Result<Exit> {
        let conflicts = match told.status {
            0 => false,
            1 => true,
            _ => bail!("{}", told.errors.trim()),
        };
        match self.output {
            None => io::stdout().lock().write_all(told.text.as_bytes())?,
            Some(_) => self.print(&serde_json::from_str::<Value>(&told.text)?, |_| String::new())?,
        }
        Ok(if conflicts { Exit::No } else { Exit::Done })
    }
}

/// The gap that is meant.
fn find(look: &Look, gap: &str) -> anyhow::Result<GapStatus> {
    let gaps = look.status().gaps;
    if let Some(found) = gaps.iter().find(|kept| kept.name == gap) {
        return Ok(found.clone());
    }
    let names: Vec<_> = gaps.iter().map(|gap| gap.name.as_str()).collect();
    let known = if names.is_empty() { "it has none".to_owned() } else { format!("name one of {}", names.join(", ")) };
    bail!("{} has no gap {gap:?}: {known}", look.name())
}

/// All gaps of a pair.
pub(super) fn text(look: &Look, style: Style) -> String {
    let gaps = look.status().gaps;
    if gaps.is_empty() {
        return format!("no member of {} keeps operations that the active does not have\n", look.name());
    }
    let mut text = String::new();
    for gap in &gaps {
        let (tone, member) = (if gap.is_open() { Tone::Attention } else { Tone::Quiet }, &gap.member);
        let _ = writeln!(
            text,
            "{} {}",
            style.paint(Tone::Strong, &gap.name),
            style.paint(tone, &format!("{:?}", gap.state))
        );
        let parted = gap.diff_head.map_or_else(|| "from the beginning".to_owned(), |head| format!("after {head}"));
        let mut rows = vec![
            ("Kept by", format!("{member}, since {}", ago(look.now, gap.kept_at.0))),
            ("Operations", format!("{}, {}, {parted} to {}", gap.ops, bytes(gap.bytes), gap.head)),
            ("Found", format!("when {} took over in epoch {}", gap.new_active, gap.new_epoch)),
        ];
        rows.extend(gap.changes.iter().map(|change| ("Change", change.clone())));
        if gap.more_changes > 0 {
            rows.push(("Change", format!("and {} more", gap.more_changes)));
        }
        rows.extend(gap.outcome.iter().map(|outcome| ("Outcome", outcome.clone())));
        if let Some(decision) = &gap.decision {
            rows.push(("Asked for", format!("{:?}, by {}", decision.what, decision.request)));
        }
        if let Some(request) = &gap.request {
            rows.push(("Obeyed", request.clone()));
        }
        let rows: Vec<_> =
            rows.into_iter().map(|(name, value)| vec![Cell(Tone::Quiet, name.to_owned()), value.into()]).collect();
        text.push_str(&table(style, "  ", &rows));
        if gap.is_open() {
            let (namespace, pair) = (look.namespace(), look.name());
            let _ = writeln!(text, "  kubectl kudupair gap show|plan -n {namespace} {} {pair}", gap.name);
            let _ = writeln!(text, "  kubectl kudupair gap replay|discard -n {namespace} {} {pair}", gap.name);
        }
    }
    text
}
