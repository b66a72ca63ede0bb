//! The last words of a process: what its reader needs of the end of its log. Pure.

use std::collections::VecDeque;

/// Lines that are kept: a FATAL line is followed by a stack trace of some dozens of lines.
const KEPT_LINES: usize = 200;
/// Longest line that is kept, in bytes.
const KEPT_LINE_BYTES: usize = 1024;
/// Most lines that are told.
const TOLD_LINES: usize = 12;
/// Most bytes that are told: it goes into the status of a Kubernetes object.
const TOLD_BYTES: usize = 2048;

/// The end of a log.
#[derive(Debug, Clone, Default)]
pub struct Words {
    lines: VecDeque<String>,
}

impl Words {
    /// Adds a line.
    pub fn push(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if line.is_empty() {
            return;
        }
        if self.lines.len() == KEPT_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(String::from_utf8_lossy(&line[..line.len().min(KEPT_LINE_BYTES)]).into_owned());
    }

    /// What to tell: from the first FATAL line, else the lines of level ERROR, else the last lines.
    pub fn last(&self) -> Option<String> {
        let fatal = self.lines.iter().position(|line| has_level(line, 'F') || line.starts_with("F2"));
        let errors = || self.lines.iter().filter(|line| has_level(line, 'E')).collect::<Vec<_>>();
        let mut told: Vec<&String> = match fatal {
            Some(first) => self.lines.iter().skip(first).take(TOLD_LINES).collect(),
            None => errors(),
        };
        if told.is_empty() {
            told = self.lines.iter().collect();
        }
        let mut text = String::new();
        for line in &told[told.len().saturating_sub(TOLD_LINES)..] {
            if text.len() + line.len() + 1 > TOLD_BYTES {
                break;
            }
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(line);
        }
        (!text.is_empty()).then_some(text)
    }
}

/// Whether a line begins as glog writes it: the level's letter, then the date.
fn has_level(line: &str, level: char) -> bool {
    let mut chars = line.chars();
    chars.next() == Some(level) && chars.take(8).filter(char::is_ascii_digit).count() == 8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(lines: &[&str]) -> Words {
        let mut words = Words::default();
        for line in lines {
            words.push(line.as_bytes());
        }
        words
    }

    #[test]
    fn the_fatal_line_and_what_follows_is_told() {
        let words =
            words(&["I20261123 x starting", "F20261123 y Check failed: z", "*** Check failure stack trace: ***"]);
        assert_eq!(words.last().unwrap(), "F20261123 y Check failed: z\n*** Check failure stack trace: ***");
    }

    #[test]
    fn errors_are_told_without_the_noise_around_them() {
        let words = words(&["E20261123 a no such file", "I20261123 b shutting down"]);
        assert_eq!(words.last().unwrap(), "E20261123 a no such file");
    }

    #[test]
    fn without_either_the_last_lines_are_told() {
        assert_eq!(words(&["one\n", "", "two"]).last().unwrap(), "one\ntwo");
        assert_eq!(words(&[]).last(), None);
    }

    #[test]
    fn it_is_bounded() {
        let long = "x".repeat(10_000);
        let lines: Vec<&str> = (0..1000).map(|_| long.as_str()).collect();
        assert!(words(&lines).last().unwrap().len() <= TOLD_BYTES);
    }
}
