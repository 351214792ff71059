//! Lengths of time as people write them, in the settings, in orders and on the command line.

use std::time::Duration;

/// The longest, in milliseconds: a year.
const LONGEST: u64 = 366 * 24 * 3_600_000;

/// Why a text is no length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadDuration {
    /// Not a number and a unit.
    Form,
    /// A number and no unit.
    NoUnit,
    /// More than a year.
    TooLong,
}

/// `250ms`, `30s`, `5m`, `1h`; at most a year.
pub fn duration(text: &str) -> Result<Duration, BadDuration> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    if number.is_empty() {
        return Err(BadDuration::Form);
    }
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "" => return Err(BadDuration::NoUnit),
        _ => return Err(BadDuration::Form),
    };
    // Of digits alone: what does not fit is too long.
    let total = { number.parse::<u64>().ok() }.and_then(|number| number.checked_mul(millis));
    match total {
        Some(total) if total <= LONGEST => Ok(Duration::from_millis(total)),
        _ => Err(BadDuration::TooLong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_a_unit() {
        for (text, want) in [
            ("250ms", Ok(250)),
            ("0s", Ok(0)),
            ("30s", Ok(30_000)),
            ("5m", Ok(300_000)),
            ("1h", Ok(3_600_000)),
            ("8784h", Ok(LONGEST)),
            ("8785h", Err(BadDuration::TooLong)),
            ("9999999999999999h", Err(BadDuration::TooLong)),
            ("18446744073709551615h", Err(BadDuration::TooLong)),
            ("99999999999999999999s", Err(BadDuration::TooLong)),
            ("99999999999999999999h", Err(BadDuration::TooLong)),
            ("30", Err(BadDuration::NoUnit)),
            ("", Err(BadDuration::Form)),
            ("s", Err(BadDuration::Form)),
            ("5 s", Err(BadDuration::Form)),
            (" 5s", Err(BadDuration::Form)),
            ("-5s", Err(BadDuration::Form)),
            ("+5s", Err(BadDuration::Form)),
            ("1.5s", Err(BadDuration::Form)),
            ("5S", Err(BadDuration::Form)),
            ("1d", Err(BadDuration::Form)),
            ("1day", Err(BadDuration::Form)),
            ("1m30s", Err(BadDuration::Form)),
            ("٣s", Err(BadDuration::Form)),
        ] {
            let got = duration(text).map(|it| it.as_millis());
            assert_eq!(got, want.map(u128::from), "{text}");
        }
    }
}
