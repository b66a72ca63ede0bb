//! `fence` and `unfence`: members that a person keeps from serving.

use std::time::{Duration, Instant};

use clap::Args;
use kube::ResourceExt as _;
use serde::Serialize;

use super::{
    Plugin,
    ask::{Outcome, tell},
    cluster::Cluster,
    exit::Exit,
    look::{CONTROLLER_PODS, Look},
};
use crate::{
    api::{
        KuduMasterPair,
        names::{self, FENCED_ANNOTATION},
    },
    failover::fenced,
};

/// A controller that runs takes notice within a second.
const NOTICE: Duration = Duration::from_secs(15);
/// How often the status is read meanwhile.
const EVERY: Duration = Duration::from_millis(250);
/// How often the annotation is written again when somebody else changed the pair meanwhile.
const TRIES: u32 = 5;

/// One member, and how long to wait.
#[derive(Args, Debug)]
pub(super) struct FenceArgs {
    /// The member.
    member: String,
    /// The pair.
    pair: Option<String>,
    /// Wait so long until another member serves, when the member is the active.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

/// One member.
#[derive(Args, Debug)]
pub(super) struct UnfenceArgs {
    /// The member.
    member: String,
    /// The pair.
    pair: Option<String>,
}

/// What `fence` and `unfence` print.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Said {
    /// The pair.
    pub(super) name: String,
    /// Who is fenced now.
    pub(super) fenced: Vec<String>,
    /// Whether the controller has taken notice, and no fenced member serves.
    pub(super) done: bool,
    /// In a sentence.
    pub(super) message: String,
}

impl Said {
    pub(super) fn text(&self) -> String {
        format!("{}: {}\n", if self.done { "done" } else { "not done yet" }, self.message)
    }
}

impl Plugin {
    pub(super) async fn fence(&self, cluster: &Cluster, args: &FenceArgs) -> anyhow::Result<Exit> {
        let look = cluster.look(args.pair.as_deref()).await?;
        let fence = |pair: &KuduMasterPair| with(pair, &args.member);
        let patience = Duration::from_secs(args.timeout);
        self.change(cluster, &look, fence, patience).await
    }

    pub(super) async fn unfence(&self, cluster: &Cluster, args: &UnfenceArgs) -> anyhow::Result<Exit> {
        let look = cluster.look(args.pair.as_deref()).await?;
        let unfence = |pair: &KuduMasterPair| without(pair, &args.member);
        self.change(cluster, &look, unfence, NOTICE).await
    }

    async fn change(
        &self,
        cluster: &Cluster,
        look: &Look,
        wanted: impl Fn(&KuduMasterPair) -> Result<Vec<String>, String>,
        patience: Duration,
    ) -> anyhow::Result<Exit> {
        let name = look.name();
        let mut pair = look.pair.clone();
        for _ in 0..TRIES {
            let fenced = match wanted(&pair) {
                Ok(fenced) => fenced,
                Err(why) => return self.outcome(&Outcome::refused(why)),
            };
            let names: Vec<_> = fenced.iter().map(String::as_str).collect();
            if cluster.reannotate(&pair, FENCED_ANNOTATION, fenced::value(&names).as_deref()).await? {
                let said = await_notice(cluster, &name, fenced, patience).await?;
                self.print(&said, |_| said.text())?;
                return Ok(if said.done { Exit::Done } else { Exit::NoAnswer });
            }
            pair = cluster.pair(Some(&name)).await?;
        }
        anyhow::bail!("somebody else changes {name} all the time; try again")
    }
}

/// The members that are fenced when this one is too, or why it is not.
pub(super) fn with(pair: &KuduMasterPair, member: &str) -> Result<Vec<String>, String> {
    let members = members(pair);
    if !members.iter().any(|known| known == member) {
        return Err(format!("{member:?} is no member of {}; name one of {}", pair.name_any(), members.join(", ")));
    }
    let mut fenced: Vec<_> = fenced::names(pair).into_iter().map(str::to_owned).collect();
    if !fenced.iter().any(|known| known == member) {
        fenced.push(member.to_owned());
        fenced.sort();
    }
    if members.iter().all(|known| fenced.contains(known)) {
        let others: Vec<_> = fenced.iter().filter(|known| *known != member).map(String::as_str).collect();
        let others = if others.is_empty() {
            "there is no other member: raise spec.standbys first".to_owned()
        } else {
            format!("{} may not serve either: unfence one first", others.join(", "))
        };
        return Err(format!("nobody would be left to serve, since {others}"));
    }
    Ok(fenced)
}

/// The members that are fenced when this one is not, or why that changes nothing.
pub(super) fn without(pair: &KuduMasterPair, member: &str) -> Result<Vec<String>, String> {
    let (same, others): (Vec<_>, Vec<_>) = fenced::names(pair).into_iter().partition(|known| *known == member);
    if same.is_empty() {
        let who = if others.is_empty() { "nobody is".to_owned() } else { format!("{} is", others.join(", ")) };
        return Err(format!("{member} is not fenced; {who}"));
    }
    Ok(others.into_iter().map(str::to_owned).collect())
}

fn members(pair: &KuduMasterPair) -> Vec<String> {
    names::members(&pair.name_any(), pair.spec.standbys)
}

/// Waits until the controller tells of exactly this, and no fenced member serves.
async fn await_notice(cluster: &Cluster, name: &str, fenced: Vec<String>, patience: Duration) -> anyhow::Result<Said> {
    let begun = Instant::now();
    let mut told = String::new();
    loop {
        let pair = cluster.pair(Some(name)).await?;
        let said = said(&pair, &fenced);
        let noticed = said.is_some();
        let waited = begun.elapsed();
        match said {
            Some(said) if said.done || waited >= patience => return Ok(said),
            Some(said) if said.message != told => {
                tell(&said.message);
                told = said.message;
            }
            _ => {}
        }
        if !noticed && waited >= NOTICE.min(patience) {
            let message = format!(
                "it is asked for, and the controller has not taken notice within {} s; it will when it runs: {CONTROLLER_PODS}",
                waited.as_secs()
            );
            return Ok(Said { name: name.to_owned(), fenced, done: false, message });
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// What the controller says of it; none while it does not know of it.
pub(super) fn said(pair: &KuduMasterPair, fenced: &[String]) -> Option<Said> {
    let status = pair.status.as_ref().filter(|status| status.fenced == fenced)?;
    let condition = status.conditions.iter().find(|condition| condition.type_ == "Fenced")?;
    let active = status.active.as_ref().filter(|active| !fenced.contains(active) && status.switch.is_none());
    let message = match active {
        Some(active) => format!("{}; {active} is active", condition.message),
        None => condition.message.clone(),
    };
    Some(Said { name: pair.name_any(), fenced: fenced.to_vec(), done: active.is_some(), message })
}
