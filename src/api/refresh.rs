//! How much a standby may leave to be replayed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a standby takes a new base, which leaves little to be replayed at its promotion, and at what pace.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct RefreshSpec {
    /// How long a promotion may take to replay what a standby holds past its base, as predicted from earlier promotions. A
    /// standby takes a new base before that. Default: 2000.
    #[schemars(range(min = 10, max = 600_000))]
    pub replay_milliseconds: i32,
    /// How much a standby may hold past its base. It takes a new base before that. Default: 64.
    #[schemars(range(min = 1, max = 65_536))]
    pub pending_mebibytes: i32,
    /// How fast a base is copied from the active at most. Kudu before 1.18 cannot hold it back. Default: 32.
    #[schemars(range(min = 1, max = 65_536))]
    pub copy_mebibytes_per_second: i32,
}

impl Default for RefreshSpec {
    fn default() -> Self {
        Self { replay_milliseconds: 2000, pending_mebibytes: 64, copy_mebibytes_per_second: 32 }
    }
}
