//! Times and sizes for people.

use std::time::Duration;

use jiff::Timestamp;

/// For how long something has been so; zero for what lies ahead, since clocks differ.
pub(crate) fn since(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

/// `0.4 s`, `12 s`, `5 min`, `3 h`, `2 d`: rounded down, except for tenths.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => {
            let tenths = (time.as_millis() + 50) / 100;
            format!("{}.{} s", tenths / 10, tenths % 10)
        }
        10..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// How long ago that was.
pub(crate) fn ago(now: Timestamp, then: Timestamp) -> String {
    format!("{} ago", span(since(now, then)))
}

/// A number of milliseconds, which is never below zero.
pub(crate) fn milliseconds(number: i64) -> String {
    span(Duration::from_millis(u64::try_from(number).unwrap_or_default()))
}

/// A number of bytes.
pub(crate) fn bytes(number: i64) -> String {
    match number {
        ..1_000 => format!("{number} B"),
        1_000..1_000_000 => format!("{} kB", number / 1_000),
        _ => format!("{} MB", number / 1_000_000),
    }
}

/// `1 operation`, `5 operations`.
pub(crate) fn operations(number: i64) -> String {
    if number == 1 { "1 operation".to_owned() } else { format!("{number} operations") }
}

/// What is shown for something that is not known.
pub(crate) fn or_dash(text: Option<impl ToString>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| text.to_string())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, "0.0 s")]
    #[case(449, "0.4 s")]
    #[case(9_949, "9.9 s")]
    #[case(12_900, "12 s")]
    #[case(119_999, "119 s")]
    #[case(120_000, "2 min")]
    #[case(7_200_000, "2 h")]
    #[case(172_800_000, "2 d")]
    fn spans(#[case] milliseconds: u64, #[case] text: &str) {
        assert_eq!(span(Duration::from_millis(milliseconds)), text);
    }

    #[test]
    fn what_lies_ahead_is_now() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(ago(now, now + Duration::from_secs(5)), "0.0 s ago");
    }
}
