//! `gap`: what only a lost active had, and what is to become of it.

use std::{fmt::Write as _, time::Duration};

use clap::{Args, Subcommand};

use super::{
    Plugin,
    ask::{Wish, ask, unique},
    cluster::Cluster,
    exit::Exit,
    look::Look,
    style::{Cell, Style, Tone, table},
    words::{ago, bytes},
};

/// A replay restarts the active in place, which takes seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Show the operations that only a lost active had, and decide about them.
///
/// When a lost active comes back, what only it had (a gap) is kept on its volume. `gap ls` shows every gap with what people did in it;
/// `gap replay` adds to the active's log what does not conflict with what was done since; `gap discard` gives it up. A gap is
/// replayed while the member that keeps it serves: switch over to it.
#[derive(Args, Debug)]
pub(super) struct GapArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Show all gaps.
    Ls {
        /// The pair.
        pair: Option<String>,
    },
    /// Replay what does not conflict.
    Replay(Named),
    /// Give a gap up. It stays on the member's volume.
    Discard(Named),
}

/// One gap.
#[derive(Args, Debug)]
struct Named {
    /// The gap, as `gap ls` names it.
    gap: String,
    /// The pair.
    pair: Option<String>,
}

impl Plugin {
    pub(super) async fn gap(&self, cluster: &Cluster, args: &GapArgs) -> anyhow::Result<Exit> {
        let (what, named) = match &args.command {
            Command::Ls { pair } => {
                let look = cluster.look(pair.as_deref()).await?;
                self.print(&look.status().gaps, |style| text(&look, style))?;
                return Ok(Exit::Done);
            }
            Command::Replay(named) => ("replay", named),
            Command::Discard(named) => ("discard", named),
        };
        let look = cluster.look(named.pair.as_deref()).await?;
        let value = unique(&format!("{what}:{}", named.gap), look.now);
        let outcome = ask(cluster, &look, Wish::Gap, &value, PATIENCE).await?;
        self.outcome(&outcome)
    }
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
            rows.push(("Asked for", format!("{:?}", decision.what)));
        }
        let rows: Vec<_> =
            rows.into_iter().map(|(name, value)| vec![Cell(Tone::Quiet, name.to_owned()), value.into()]).collect();
        text.push_str(&table(style, "  ", &rows));
        if gap.is_open() {
            let (namespace, pair) = (look.namespace(), look.name());
            if look.status().active.as_ref() != Some(member) {
                let _ = writeln!(
                    text,
                    "  It is replayed while {member} serves: kubectl kudupair switchover -n {namespace} {pair} --to {member}"
                );
            }
            let _ = writeln!(text, "  kubectl kudupair gap replay|discard -n {namespace} {} {pair}", gap.name);
        }
    }
    text
}
