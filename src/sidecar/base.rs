//! Taking a base: a consistent copy of the active's catalog, in a generation of its own.

use super::{SidecarError, generation, member::Member, shipping::blocking};
use crate::{
    api::{MemberState, Role},
    launcher::protocol::Request,
    waldir::LogAppender,
};

/// Copies a base into a new generation; the old one is kept until the new one counts.
pub(super) async fn take(member: &mut Member, uuid: String, rpc: &str) -> Result<(), SidecarError> {
    member.board.enter(Role::Standby, MemberState::CopyingBase);
    let generation = generation::next(&mut member.anchors)?;
    member.call(Request::CopyBase { generation: generation.clone(), uuid: uuid.clone(), from: rpc.to_owned() }).await?;
    let folder = generation::log_folder(&member.config.wal_dir, &generation);
    let head = blocking(move || LogAppender::open(&folder).map(|log| log.summary().last)).await?;
    generation::adopt(&mut member.anchors, &generation, &uuid, head)?;
    {
        let mut facts = member.board.facts();
        (facts.catalog_uuid, facts.head) = (Some(uuid), head);
    }
    member.tidy().await
}
