//! The identity of an operation.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Identifies an operation of the log: the Raft term that wrote it and its position.
///
/// Ordered by term, then index; written `term.index` everywhere, as Kudu's own tools do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId {
    /// The Raft term in which the operation was first written.
    pub term: i64,
    /// Its position in the log; the first operation of a log has index 1.
    pub index: i64,
}

impl OpId {
    /// An `OpId` from its two parts.
    #[must_use]
    pub const fn new(term: i64, index: i64) -> Self {
        Self { term, index }
    }
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.index)
    }
}

/// A string that is not an [`OpId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not an OpId: write it as term.index, for example 3.4815")]
pub struct ParseOpIdError {
    given: String,
}

impl FromStr for OpId {
    type Err = ParseOpIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `i64::from_str` also takes a leading `+`: refuse it, so that each OpId has one spelling.
        let part = |digits: &str| (!digits.starts_with('+')).then(|| digits.parse::<i64>().ok()).flatten();
        text.split_once('.')
            .and_then(|(term, index)| Some(Self::new(part(term)?, part(index)?)))
            .ok_or_else(|| ParseOpIdError { given: text.to_owned() })
    }
}

impl Serialize for OpId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OpId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for OpId {
    fn schema_name() -> Cow<'static, str> {
        "OpId".into()
    }

    fn inline_schema() -> bool {
        // Kubernetes' schemas have no references.
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "An operation of Kudu's log, as `term.index`.",
            "pattern": r"^-?[0-9]+\.-?[0-9]+$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_by_term_then_index() {
        assert!(OpId::new(1, 900) < OpId::new(2, 1));
        assert!(OpId::new(2, 1) < OpId::new(2, 2));
    }

    #[test]
    fn reads_what_it_writes() {
        let id = OpId::new(3_000_001, 4815);
        assert_eq!(id.to_string(), "3000001.4815");
        assert_eq!("3000001.4815".parse(), Ok(id));
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"3000001.4815\"");
        assert_eq!(serde_json::from_str::<OpId>("\"3000001.4815\"").unwrap(), id);
    }

    #[test]
    fn refuses_other_spellings() {
        for text in ["", "3", ".", "3.", ".4", "3.4.5", "+3.4", "3.+4", " 3.4", "a.b"] {
            assert!(text.parse::<OpId>().is_err(), "{text:?} was taken");
        }
    }
}
