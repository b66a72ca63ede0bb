//! `status`, once or again and again.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use clap::Args;

use super::{Plugin, ask::tell, cluster::Cluster, exit::Exit, is_broken_pipe, status};

/// How often a watched pair is read.
const EVERY: Duration = Duration::from_secs(1);

/// Show how pairs are.
///
/// With PAIR, or in a namespace with one pair: its members with role, state, head and lag with the age of the sample, the Lease,
/// a switch that is under way, the last receipts, the conditions (those first that somebody has to look at), and everything that
/// would keep a planned switch from being made now. Otherwise one line for each pair, the troubled ones first.
#[derive(Args, Debug)]
pub(super) struct StatusArgs {
    /// The pair.
    pair: Option<String>,
    /// Show the pairs of all namespaces.
    #[arg(short = 'A', long, conflicts_with = "pair")]
    all_namespaces: bool,
    /// Go on showing it, once a second, until interrupted.
    #[arg(short, long)]
    watch: bool,
}

impl Plugin {
    pub(super) async fn status(&self, cluster: &Cluster, args: &StatusArgs) -> anyhow::Result<Exit> {
        let mut shown = false;
        loop {
            match self.status_once(cluster, args, shown).await {
                Ok(()) => shown = true,
                // One that was shown goes on being watched, whatever happens to the network.
                Err(error) if shown && !is_broken_pipe(&error) => tell(&format!("{error:#}; trying again")),
                Err(error) => return Err(error),
            }
            if !args.watch {
                return Ok(Exit::Done);
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn status_once(&self, cluster: &Cluster, args: &StatusArgs, again: bool) -> anyhow::Result<()> {
        let looks = match &args.pair {
            Some(name) => vec![cluster.look(Some(name)).await?],
            None => cluster.looks(args.all_namespaces).await?,
        };
        let one = match looks.as_slice() {
            [look] if !args.all_namespaces => Some(look),
            [] if !args.all_namespaces => {
                // Says what to name instead.
                cluster.pair(None).await?;
                None
            }
            _ => None,
        };
        if args.watch && self.output.is_none() {
            self.begin_frame(again)?;
        }
        match one {
            Some(look) => self.print(&status::report(look), |style| status::text(look, style)),
            None => self.print(&looks.iter().map(status::report).collect::<Vec<_>>(), |style| {
                status::list(&looks, args.all_namespaces, style)
            }),
        }
    }

    /// On a terminal each look takes the place of the one before; elsewhere it comes behind it.
    fn begin_frame(&self, again: bool) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        if out.is_terminal() {
            out.write_all(b"\x1b[H\x1b[2J\x1b[3J")?;
        } else if again {
            out.write_all(b"\n")?;
        }
        Ok(())
    }
}
