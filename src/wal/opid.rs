//! The name of one operation in Kudu's log.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Kudu's name for one operation: the Raft term that wrote it and its index in the log.
///
/// Ordered by term first. Written `term.index` in text, JSON and YAML.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct OpId {
    /// Raft term of the master that wrote the operation.
    pub term: i64,
    /// Position in the log, from 1, without holes.
    pub index: i64,
}

impl OpId {
    /// An operation's name from its parts.
    pub const fn new(term: i64, index: i64) -> Self {
        Self { term, index }
    }
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.index)
    }
}

/// A text that is no `term.index`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no OpId: write term.index, two whole numbers, as in 3.1405")]
pub struct ParseOpIdError(String);

impl FromStr for OpId {
    type Err = ParseOpIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseOpIdError(text.to_owned());
        let (term, index) = text.split_once('.').ok_or_else(bad)?;
        Ok(Self { term: term.parse().map_err(|_| bad())?, index: index.parse().map_err(|_| bad())? })
    }
}

impl Serialize for OpId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OpId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl schemars::JsonSchema for OpId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OpId".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9]+\\.[0-9]+$" })
    }
}
