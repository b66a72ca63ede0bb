//! The control file of a member: what it must remember across a restart of anything.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `KPANCHOR` |
//! | 8 | 4 | version of the format, big-endian, [`VERSION`] |
//! | 12 | 4 | length n of the body, big-endian |
//! | 16 | n | the [`Anchors`] as JSON, so that a person can read them |
//! | 16+n | 4 | CRC-32C of all before, big-endian |

use bytes::{Buf, BufMut};
use serde::{Deserialize, Serialize};

use crate::{
    api::{Role, UnfitLog},
    failover::member::GapReport,
    launcher::protocol::Generation,
    wal::OpId,
};

const MAGIC: &[u8; 8] = b"KPANCHOR";
/// Version of the format.
pub const VERSION: u32 = 1;

/// What a member remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Anchors {
    /// The pair whose catalog this is.
    pub pair: String,
    /// The uuid that all members' kudu-masters share.
    pub uuid: String,
    /// The highest epoch that was obeyed. An order or frame of an older one is refused.
    pub epoch: i64,
    /// The generation in use; absent before the first base or format.
    pub generation: Option<Generation>,
    /// Number of the last generation that was begun; numbers are never used twice.
    pub last_generation: i64,
    /// Last op of the base when it was taken; absent for a catalog that was formatted here.
    pub base_head: Option<OpId>,
    /// Last op at which this log and the active's agreed when they were last compared.
    pub diff_head: Option<OpId>,
    /// Of a standby: the last op known to be durable here when the anchors were written; the log itself may be further. Of an
    /// active: the last op that any of its standbys was known to have.
    pub replicate_head: Option<OpId>,
    /// The active's last op known when the anchors were written.
    pub current_head: Option<OpId>,
    /// As what, and in which epoch, this member knew the two; absent before it served or streamed.
    #[serde(default)]
    pub heads_of: Option<HeadsOf>,
    /// What this member had at its first rejoin in an epoch and the active had not.
    pub gap: Option<GapReport>,
    /// Operations that a promotion of this member replayed in a second; absent until one has shown it.
    #[serde(default)]
    pub replay_ops_per_second: Option<u32>,
    /// Last op up to which the log need not be compared with the active's: that of the base, or one up to which it was compared
    /// before. Absent before the first stream.
    #[serde(default)]
    pub compare_from: Option<OpId>,
    /// The log that was found unfit last. Until it is replaced this member does not continue its log.
    #[serde(default)]
    pub unfit: Option<UnfitLog>,
}

/// Who knew the heads in the control file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeadsOf {
    /// What the member was.
    pub role: Role,
    /// In which reign.
    pub epoch: i64,
}

/// Heads as a member knows them at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// What the member is, and in which reign.
    pub of: HeadsOf,
    /// As [`Anchors::replicate_head`].
    pub replicate: Option<OpId>,
    /// As [`Anchors::current_head`].
    pub current: Option<OpId>,
}

impl Anchors {
    /// The anchors of a member that holds nothing yet.
    pub fn new(pair: impl Into<String>) -> Self {
        Self {
            pair: pair.into(),
            uuid: String::new(),
            epoch: 0,
            generation: None,
            last_generation: 0,
            base_head: None,
            diff_head: None,
            replicate_head: None,
            current_head: None,
            heads_of: None,
            gap: None,
            replay_ops_per_second: None,
            compare_from: None,
            unfit: None,
        }
    }

    /// Whether the log in use must not be continued.
    pub fn is_unfit(&self) -> bool {
        self.unfit.as_ref().is_some_and(|unfit| !unfit.replaced)
    }

    /// Lets a generation count from now on, whose log ends at `replicate_head` and whose base, if it is a copy of one, at `base_head`.
    pub fn adopt(&mut self, generation: &str, base_head: Option<OpId>, replicate_head: Option<OpId>) {
        self.generation = Some(generation.to_owned());
        (self.base_head, self.compare_from, self.replicate_head) = (base_head, base_head, replicate_head);
        if let Some(unfit) = &mut self.unfit {
            unfit.replaced = true;
        }
    }

    /// Remembers heads that were seen while `generation` was in use. In one reign none goes back; of another one they are no news:
    /// the log that they were seen of is not the one that counts.
    pub fn saw(&mut self, generation: &str, heads: Heads) {
        if self.generation.as_deref() != Some(generation) || heads.of.epoch != self.epoch {
            return;
        }
        let same = self.heads_of == Some(heads.of);
        let forward = |old: Option<OpId>, new: Option<OpId>| if same { old.max(new) } else { new };
        self.replicate_head = forward(self.replicate_head, heads.replicate);
        self.current_head = forward(self.current_head, heads.current);
        self.heads_of = Some(heads.of);
    }

    /// Remembers where this log and the active's part, and how much the active lacked when that was first seen in an epoch:
    /// after a new base nothing is missing any more, and what was lost would be forgotten.
    pub fn rejoin(&mut self, found: GapReport) {
        self.diff_head = found.diff_head.or(self.diff_head);
        if found.own_head.is_some() && self.gap.as_ref().is_none_or(|known| known.epoch < found.epoch) {
            self.gap = Some(found);
        }
    }
}

/// A control file that cannot be trusted. The member stops: it never guesses.
#[derive(Debug, thiserror::Error)]
pub enum AnchorsError {
    /// Not a control file.
    #[error("it is no control file of a member (it does not begin with KPANCHOR)")]
    Magic,
    /// Of a newer operator.
    #[error(
        "it has format version {0} and this operator knows version {VERSION}; run the newer operator that wrote it"
    )]
    Version(u32),
    /// Cut short or damaged.
    #[error("it is damaged (its length or checksum is wrong)")]
    Damaged,
    /// Sound bytes that make no sense.
    #[error("its body cannot be read: {0}")]
    Body(#[from] serde_json::Error),
}

impl Anchors {
    /// The bytes of the control file.
    pub fn encode(&self) -> Vec<u8> {
        // The type has no map and no failing serializer, the only errors that serde_json has here.
        let body = serde_json::to_vec_pretty(self).unwrap_or_default();
        let mut out = Vec::with_capacity(body.len().saturating_add(20));
        out.put_slice(MAGIC);
        out.put_u32(VERSION);
        out.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
        out.put_slice(&body);
        let crc = crc32c::crc32c(&out);
        out.put_u32(crc);
        out
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// When the bytes are not exactly that; the version is looked at first, so that a newer file is called newer.
    pub fn decode(bytes: &[u8]) -> Result<Self, AnchorsError> {
        let mut rest = bytes.strip_prefix(MAGIC.as_slice()).ok_or(AnchorsError::Magic)?;
        let version = rest.try_get_u32().map_err(|_| AnchorsError::Damaged)?;
        if version != VERSION {
            return Err(AnchorsError::Version(version));
        }
        let length = rest.try_get_u32().map_err(|_| AnchorsError::Damaged)?;
        let length = usize::try_from(length).map_err(|_| AnchorsError::Damaged)?;
        let (body, mut trailer) = rest.split_at_checked(length).ok_or(AnchorsError::Damaged)?;
        let crc = trailer.try_get_u32().map_err(|_| AnchorsError::Damaged)?;
        let checked = bytes.len().checked_sub(4).and_then(|end| bytes.get(..end)).ok_or(AnchorsError::Damaged)?;
        if trailer.has_remaining() || crc32c::crc32c(checked) != crc {
            return Err(AnchorsError::Damaged);
        }
        Ok(serde_json::from_slice(body)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::LogFault;

    fn some() -> Anchors {
        Anchors {
            uuid: "0123456789abcdef0123456789abcdef".into(),
            epoch: 7,
            generation: Some("gen-3".into()),
            last_generation: 3,
            diff_head: Some(OpId::new(6_000_001, 40)),
            unfit: Some(UnfitLog {
                generation: "gen-2".into(),
                epoch: 6,
                fault: LogFault::Differs,
                message: "other bytes".into(),
                replaced: true,
            }),
            ..Anchors::new("demo")
        }
    }

    #[test]
    fn what_goes_in_comes_out() {
        assert_eq!(Anchors::decode(&some().encode()).unwrap(), some());
    }

    #[test]
    fn the_first_gap_of_an_epoch_is_kept() {
        let found = |epoch, ops| GapReport {
            epoch,
            ops,
            diff_head: Some(OpId::new(1, 5)),
            own_head: Some(OpId::new(1, 5 + ops)),
        };
        let mut anchors = some();
        for (noted, kept) in [(found(7, 3), 3), (found(7, 0), 3), (found(8, 0), 0)] {
            anchors.rejoin(noted);
            assert_eq!(anchors.gap.as_ref().map(|gap| gap.ops), Some(kept));
        }
        anchors.rejoin(GapReport { epoch: 9, ops: 0, diff_head: None, own_head: None });
        assert_eq!(anchors.gap.as_ref().map(|gap| gap.epoch), Some(8));
        assert_eq!(anchors.diff_head, Some(OpId::new(1, 5)));
    }

    #[test]
    fn a_log_is_unfit_until_another_one_counts() {
        let mut anchors = some();
        assert!(!anchors.is_unfit());
        anchors.unfit.as_mut().unwrap().replaced = false;
        assert!(Anchors::decode(&anchors.encode()).unwrap().is_unfit());
        anchors.adopt("gen-4", Some(OpId::new(7_000_001, 50)), Some(OpId::new(7_000_001, 60)));
        assert!(!anchors.is_unfit());
        assert_eq!(
            (anchors.generation.as_deref(), anchors.compare_from),
            (Some("gen-4"), Some(OpId::new(7_000_001, 50)))
        );
    }

    #[test]
    fn heads_go_forward_in_a_reign_and_begin_anew_with_the_next() {
        let heads = |role, epoch, replicate, current| Heads {
            of: HeadsOf { role, epoch },
            replicate: (replicate > 0).then(|| OpId::new(1, replicate)),
            current: (current > 0).then(|| OpId::new(1, current)),
        };
        let (standby, active) = (Role::Standby, Role::Active);
        let mut anchors = some();
        for (generation, seen, replicate, current) in [
            ("gen-3", heads(standby, 7, 50, 60), 50, 60),
            ("gen-3", heads(standby, 7, 55, 0), 55, 60),
            ("gen-2", heads(standby, 7, 90, 90), 55, 60),
            ("gen-3", heads(standby, 6, 90, 90), 55, 60),
            ("gen-3", heads(active, 7, 0, 61), 0, 61),
            ("gen-3", heads(active, 7, 58, 70), 58, 70),
            ("gen-3", heads(active, 7, 0, 71), 58, 71),
        ] {
            anchors.saw(generation, seen);
            let index = |op: Option<OpId>| op.map_or(0, |op| op.index);
            assert_eq!((index(anchors.replicate_head), index(anchors.current_head)), (replicate, current), "{seen:?}");
        }
        assert_eq!(Anchors::decode(&anchors.encode()).unwrap(), anchors);
    }

    #[test]
    fn a_newer_file_is_called_newer() {
        let mut bytes = some().encode();
        bytes[11] = 2;
        assert!(matches!(Anchors::decode(&bytes), Err(AnchorsError::Version(2))));
    }

    proptest! {
        #[test]
        fn any_cut_is_found(at: prop::sample::Index) {
            let bytes = some().encode();
            prop_assert!(Anchors::decode(&bytes[..at.index(bytes.len())]).is_err());
        }

        #[test]
        fn any_flipped_bit_is_found(at: prop::sample::Index, bit in 0u8..8) {
            let mut bytes = some().encode();
            let at = at.index(bytes.len());
            bytes[at] ^= 1u8 << bit;
            prop_assert!(Anchors::decode(&bytes).is_err());
        }

        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = Anchors::decode(&bytes);
        }
    }
}
