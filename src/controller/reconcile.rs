//! One pair: observe, decide, act, until there is nothing left to do at once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kube::{Resource as _, ResourceExt as _, core::DeserializeGuard, runtime::controller::Action as Next};

use super::{
    act::{act, publish},
    context::Context,
    error::{Class, Error},
    leases::PairKey,
    observe::observe,
};
use crate::{
    api::KuduMasterPair,
    failover::{bounds::LOOK_IN_SWITCH, decide::decide},
};

/// A pair, or what is wrong with it: one that cannot be read must not stop the watch of the others.
pub(crate) type Guarded = DeserializeGuard<KuduMasterPair>;

/// A switch takes about ten steps; more in one go means that something turns in circles, and is slowed down.
const STEPS: usize = 16;

/// Looks after one pair; the runtime never runs two of these for the same pair at once.
pub(crate) async fn reconcile(pair: Arc<Guarded>, context: Arc<Context>) -> Result<Next, Error> {
    let key = (pair.namespace().unwrap_or_default(), pair.name_any());
    if let Err(invalid) = &pair.0 {
        let error = Error::InvalidPair { reason: invalid.error.clone() };
        publish(&context, pair.object_ref(&()), true, error.label(), error.to_string());
        return Err(error);
    }
    let begun = Instant::now();
    let looked = look_after(&key, &context).await;
    context.counters.reconciled(begun.elapsed(), looked.as_ref().err().map(Error::label));
    if let Err(error) = &looked
        && error.class() == Class::OperatorNeeded
    {
        publish(&context, pair.object_ref(&()), true, error.label(), error.to_string());
    }
    looked
}

async fn look_after(key: &PairKey, context: &Context) -> Result<Next, Error> {
    for _ in 0..STEPS {
        let Some(seen) = observe(context, key).await? else {
            context.memory.forget(key);
            context.live.forget(key);
            return Ok(Next::await_change());
        };
        context.live.saw(key, &seen.observation);
        let decision = decide(&seen.observation);
        for action in decision.actions {
            act(context, key, &seen, action).await?;
        }
        if decision.requeue_after > Duration::ZERO {
            return Ok(Next::requeue(decision.requeue_after));
        }
    }
    tracing::warn!(?key, "still something to do after {STEPS} steps; slowing down");
    Ok(Next::requeue(LOOK_IN_SWITCH))
}

/// When to try again.
pub(crate) fn on_error(pair: Arc<Guarded>, error: &Error, _: Arc<Context>) -> Next {
    let pair = pair.name_any();
    match error.class() {
        Class::Retry => {
            tracing::info!(pair, %error, label = error.label(), "trying again");
            Next::requeue(LOOK_IN_SWITCH)
        }
        Class::WaitForChange => {
            tracing::error!(pair, %error, label = error.label(), "waiting for a change");
            Next::await_change()
        }
        Class::OperatorNeeded => {
            tracing::error!(pair, %error, label = error.label(), "somebody has to act");
            Next::requeue(Duration::from_secs(5))
        }
    }
}
