//! Does what was decided.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use k8s_openapi::api::{coordination::v1::Lease, core::v1::Pod};
use kube::{
    Api, Resource as _,
    api::{DeleteParams, PostParams, Preconditions},
    runtime::events::{Event, EventType},
};

use super::{
    apply,
    build::{self, BuildInput, PairObjects},
    certificates,
    context::{Applied, Context},
    error::{Error, within},
    leases::PairKey,
    observe::Seen,
    status,
};
use crate::{
    api::{
        KuduMasterPair,
        names::{self, FIELD_MANAGER},
    },
    failover::{
        action::{Action, PairEvent},
        observation::CertificatesSeen,
        tenure,
    },
};

/// A write takes milliseconds; one that hangs is dropped and everything is observed anew.
const WRITE: Duration = Duration::from_secs(3);
/// Applying is a handful of writes.
const APPLY: Duration = Duration::from_secs(15);

/// Does one thing. On an error nothing that was decided after it may be done.
pub(crate) async fn act(context: &Context, key: &PairKey, seen: &Seen, action: Action) -> Result<(), Error> {
    let pair = &seen.observation.pair;
    match action {
        Action::WriteStatus(new) => {
            tracing::debug!(?key, phase = ?new.phase, switch = ?new.switch, "writing the status");
            let written = status::write(&context.client, pair, *new).await?;
            context.memory.status_written(key);
            if let Some(after) = &written.status {
                context.counters.status_written(&key.0, &key.1, pair.status.as_ref(), after);
            }
            Ok(())
        }
        Action::CreateLease { epoch } => {
            tracing::info!(?key, epoch, "creating the Lease");
            let lease = build::lease(&input(context, pair)?, epoch);
            within(WRITE, "create the Lease", api(context, key).create(&params(), &lease)).await.map(drop)
        }
        Action::FenceLease { resource_version, epoch } => fence(context, key, seen, &resource_version, epoch).await,
        Action::ApplyObjects { active } => {
            look_after_certificates(context, key, pair).await?;
            let wanted = Applied { generation: pair.metadata.generation, active };
            if context.memory.is_applied(key, &wanted) { Ok(()) } else { apply_all(context, key, pair, wanted).await }
        }
        Action::Repoint { active } => {
            tracing::info!(?key, active, "pointing the Service");
            let service = build::active_service(&input(context, pair)?, Some(&active));
            in_time(apply::apply_active_service(&context.client, &service)).await
        }
        Action::DeletePod { name, uid } => {
            tracing::info!(?key, name, "deleting a pod of an old revision");
            let pods: Api<Pod> = Api::namespaced(context.client.clone(), &key.0);
            let this_one = Preconditions { uid: Some(uid), resource_version: None };
            let params = DeleteParams::default().preconditions(this_one);
            within(WRITE, "delete the pod", pods.delete(&name, &params)).await.map(drop)
        }
        Action::Event(event) => {
            tell(context, pair, event);
            Ok(())
        }
    }
}

/// Takes the Lease in the version that was seen: replacing says that version to the API server, so a renewal that came
/// first wins.
async fn fence(context: &Context, key: &PairKey, seen: &Seen, resource_version: &str, epoch: i64) -> Result<(), Error> {
    let what = || "the Lease".to_owned();
    let lease = seen.lease.as_ref().ok_or_else(|| Error::Conflict { what: what() })?;
    if lease.metadata.resource_version.as_deref() != Some(resource_version) {
        return Err(Error::Conflict { what: what() });
    }
    tracing::info!(?key, epoch, holder = ?lease.spec.as_ref().map(|spec| &spec.holder_identity), "fencing the Lease");
    let fenced = tenure::fenced(lease, epoch);
    let written =
        within(WRITE, "fence the Lease", api(context, key).replace(&names::lease(&key.1), &params(), &fenced)).await?;
    context.leases.look(&written);
    Ok(())
}

/// Before the objects are applied, so that a new member finds its certificate. Nothing that goes wrong here keeps anything else
/// from being done: it shows in a condition.
async fn look_after_certificates(context: &Context, key: &PairKey, pair: &KuduMasterPair) -> Result<(), Error> {
    let generation = pair.metadata.generation;
    if !context.memory.certificates_are_due(key, generation) {
        return Ok(());
    }
    let input = input(context, pair)?;
    let seen = in_time(certificates::look_after(&context.client, &input, jiff::Timestamp::now())).await;
    let seen = seen.unwrap_or_else(|error| {
        tracing::warn!(?key, %error, "the members' certificates cannot be looked after");
        CertificatesSeen::Missing { reason: "CertificatesFailed", message: error.to_string() }
    });
    context.memory.certificates_seen(key, generation, seen);
    Ok(())
}

async fn apply_all(context: &Context, key: &PairKey, pair: &KuduMasterPair, wanted: Applied) -> Result<(), Error> {
    let objects = PairObjects::build(&input(context, pair)?, wanted.active.as_deref());
    let apply::Applied { immutable_changes } = in_time(apply::apply(&context.client, &objects)).await?;
    for change in immutable_changes {
        tell(context, pair, PairEvent::warning("ChangeRefused", change));
    }
    context.memory.applied(key, wanted);
    Ok(())
}

async fn in_time<T>(applied: impl Future<Output = Result<T, apply::ApplyError>>) -> Result<T, Error> {
    match tokio::time::timeout(APPLY, applied).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Error::Timeout { what: "apply the pair's objects".to_owned(), limit: APPLY }),
    }
}

fn input<'a>(context: &'a Context, pair: &'a KuduMasterPair) -> Result<BuildInput<'a>, Error> {
    BuildInput::new(pair, &context.operator_image).map_err(|error| Error::InvalidPair { reason: error.to_string() })
}

fn api(context: &Context, key: &PairKey) -> Api<Lease> {
    Api::namespaced(context.client.clone(), &key.0)
}

fn params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..Default::default() }
}

/// Publishes an event without waiting for it: it must not hold up a failover, and a lost one is in the log.
fn tell(context: &Context, pair: &KuduMasterPair, event: PairEvent) {
    let PairEvent { warning, reason, note } = event;
    if warning {
        tracing::warn!(pair = pair.metadata.name, reason, note);
    } else {
        tracing::info!(pair = pair.metadata.name, reason, note);
    }
    publish(context, pair.object_ref(&()), warning, reason, note);
}

/// Publishes an event on any object.
pub(crate) fn publish(
    context: &Context,
    about: k8s_openapi::api::core::v1::ObjectReference,
    warning: bool,
    reason: &'static str,
    note: String,
) {
    let recorder = context.recorder.clone();
    tokio::spawn(async move {
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: reason.to_owned(),
            action: action(reason, &note),
            // The API takes at most 1 kB.
            note: Some(note.chars().take(1000).collect()),
            secondary: None,
        };
        if let Ok(Err(error)) = tokio::time::timeout(WRITE, recorder.publish(&event, &about)).await {
            tracing::warn!(%error, reason, "cannot publish an event");
        }
    });
}

/// Events of the same action are counted as one and keep the first one's note; two failovers are two events.
fn action(reason: &str, note: &str) -> String {
    let mut hasher = DefaultHasher::new();
    note.hash(&mut hasher);
    format!("{reason}-{:08x}", hasher.finish() & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::action;

    #[test]
    fn only_an_event_that_says_the_same_is_the_same() {
        assert_eq!(action("FailoverCompleted", "a"), action("FailoverCompleted", "a"));
        assert_ne!(action("FailoverCompleted", "a"), action("FailoverCompleted", "b"));
    }
}
