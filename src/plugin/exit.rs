//! What the plugin's exit status means.

use std::process::ExitCode;

/// The exit status. 1 is an error (the API server cannot be reached, refuses, has no such pair), 2 wrong usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or shown.
    Done,
    /// The answer is no, and nothing was changed.
    No,
    /// Nobody answered, or it had not ended, in time.
    NoAnswer,
    /// It was tried and went back to the old active.
    RolledBack,
}

impl Exit {
    /// As a number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::No => 3,
            Self::NoAnswer => 4,
            Self::RolledBack => 5,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// For `--help`.
pub(crate) const HELP: &str = "\
Exit status: 0 done, or shown; 1 an error: the API server cannot be reached or refuses, or there is no such pair; 2 wrong \
usage; 3 the answer is no, and nothing was changed; 4 nobody answered, or it had not ended, in \
time; 5 the switch was tried and went back to the old \
active.";
