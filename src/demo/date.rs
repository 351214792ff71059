//! Dates as IMAP writes them: INTERNALDATE (RFC 3501 §9 `date-time`), the days of SEARCH (`date`),
//! and the day of a Date field (RFC 5322 §3.3). The clock is somebody else's.

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const DAY: i64 = 86_400;

/// A moment, and the zone it was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DateTime {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub(super) seconds: i64,
    /// Minutes east of UTC.
    pub(super) zone: i64,
}

impl DateTime {
    /// A moment in UTC.
    pub(super) fn utc(seconds: i64) -> Self {
        DateTime { seconds, zone: 0 }
    }

    /// The day in its own zone, as days since 1970-01-01: SEARCH disregards time and zone
    /// (RFC 3501 §6.4.4).
    pub(super) fn day(self) -> i64 {
        self.local().div_euclid(DAY)
    }

    /// `17-Jul-1996 02:44:25 -0700`, the day padded with a space.
    pub(super) fn internal(self) -> String {
        let (year, month, day) = civil(self.day());
        let month = month_name(month);
        format!("{day:>2}-{month}-{year:04} {}", self.time())
    }

    /// `Wed, 17 Jul 1996 02:44:25 -0700`, for a Date field.
    pub(super) fn header(self) -> String {
        let (year, month, day) = civil(self.day());
        let month = month_name(month);
        let weekday = usize::try_from(self.day().rem_euclid(7))
            .ok()
            .and_then(|day| WEEKDAYS.get(day))
            .unwrap_or(&"Thu");
        format!("{weekday}, {day} {month} {year:04} {}", self.time())
    }

    fn local(self) -> i64 {
        self.seconds.saturating_add(self.zone * 60)
    }

    /// `02:44:25 -0700`
    fn time(self) -> String {
        let second = self.local().rem_euclid(DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let sign = if self.zone < 0 { '-' } else { '+' };
        let (east, minutes) = (self.zone.abs() / 60, self.zone.abs() % 60);
        format!("{hour:02}:{minute:02}:{second:02} {sign}{east:02}{minutes:02}")
    }
}

/// `date-time` without its quotes: `17-Jul-1996 02:44:25 -0700`.
pub(super) fn date_time(text: &[u8]) -> Option<DateTime> {
    let text = std::str::from_utf8(text).ok()?.trim_start_matches(' ');
    let mut words = text.split(' ');
    let day = date(words.next()?.as_bytes())?;
    let time = words.next()?;
    let zone = words.next()?;
    if words.next().is_some() {
        return None;
    }
    let mut parts = time.split(':');
    let hour = digits(parts.next()?, 2..=2).filter(|hour| *hour < 24)?;
    let minute = digits(parts.next()?, 2..=2).filter(|minute| *minute < 60)?;
    // A leap second may be written.
    let second = digits(parts.next()?, 2..=2).filter(|second| *second <= 60)?;
    if parts.next().is_some() {
        return None;
    }
    let (sign, offset) = match zone.split_at_checked(1)? {
        ("+", offset) => (1, offset),
        ("-", offset) => (-1, offset),
        _ => return None,
    };
    let offset = digits(offset, 4..=4)?;
    if offset / 100 > 23 || offset % 100 > 59 {
        return None;
    }
    let zone = sign * (offset / 100 * 60 + offset % 100);
    Some(DateTime {
        seconds: day * DAY + hour * 3600 + minute * 60 + second - zone * 60,
        zone,
    })
}

/// `date` without quotes, `1-Feb-1994`, as days since 1970-01-01.
pub(super) fn date(text: &[u8]) -> Option<i64> {
    let mut parts = std::str::from_utf8(text).ok()?.split('-');
    let day = digits(parts.next()?, 1..=2)?;
    let month = month_number(parts.next()?)?;
    let year = digits(parts.next()?, 4..=4)?;
    match parts.next() {
        None => days(year, month, day),
        Some(_) => None,
    }
}

/// The day a Date field names, zone and time disregarded, as days since 1970-01-01.
pub(super) fn header_day(value: &[u8]) -> Option<i64> {
    let value = std::str::from_utf8(value).ok()?;
    let value = value.split_once(',').map_or(value, |(_, rest)| rest);
    let mut words = value.split_ascii_whitespace();
    let day = digits(words.next()?, 1..=2)?;
    let month = month_number(words.next()?)?;
    // Two- and three-digit years: RFC 5322 §4.3.
    let year = match words.next()? {
        year if year.len() == 2 => match digits(year, 2..=2)? {
            year if year < 50 => year + 2000,
            year => year + 1900,
        },
        year if year.len() == 3 => digits(year, 3..=3)? + 1900,
        year => digits(year, 4..=4)?,
    };
    days(year, month, day)
}

fn digits(text: &str, length: std::ops::RangeInclusive<usize>) -> Option<i64> {
    let fits = length.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

fn month_number(name: &str) -> Option<i64> {
    let index = MONTHS.iter().position(|m| m.eq_ignore_ascii_case(name))?;
    i64::try_from(index + 1).ok()
}

fn month_name(month: i64) -> &'static str {
    let index = usize::try_from(month - 1).unwrap_or(0);
    MONTHS.get(index).unwrap_or(&"Jan")
}

/// Days since 1970-01-01 of a date of the Gregorian calendar; `None` if there is no such day.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    (civil(days) == (year, month, day)).then_some(days)
}

/// The inverse of [`days`].
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_dates() {
        for (text, seconds) in [
            ("17-Jul-1996 02:44:25 -0700", Some(837_596_665)),
            (" 1-Jan-1970 00:00:00 +0000", Some(0)),
            ("01-jan-1970 01:00:00 +0100", Some(0)),
            ("29-Feb-2024 12:00:00 +0530", Some(1_709_188_200)),
            ("29-Feb-2023 12:00:00 +0000", None),
            ("31-Dec-1969 23:59:59 +0000", Some(-1)),
            ("1-Jan-1970 24:00:00 +0000", None),
            ("1-Jan-1970 00:00:00", None),
            ("1-Jan-1970 00:00:00 0000", None),
            ("1-Jan-1970 00:00:00 +00é", None),
            ("", None),
        ] {
            let parsed = date_time(text.as_bytes());
            assert_eq!(parsed.map(|d| d.seconds), seconds, "{text}");
            if let Some(parsed) = parsed {
                assert_eq!(date_time(parsed.internal().as_bytes()), Some(parsed));
            }
        }
    }

    #[test]
    fn a_date_reads_back_as_it_was_written() {
        let text = "17-Jul-1996 02:44:25 -0700";
        let parsed = date_time(text.as_bytes()).unwrap();
        assert_eq!(parsed.internal(), text);
        assert_eq!(parsed.header(), "Wed, 17 Jul 1996 02:44:25 -0700");
        assert_eq!(Some(parsed.day()), date(b"17-Jul-1996"));
    }

    #[test]
    fn days_of_date_fields() {
        for (field, day) in [
            ("Wed, 17 Jul 1996 02:44:25 -0700", date(b"17-Jul-1996")),
            ("1 Feb 94 00:00 GMT", date(b"1-Feb-1994")),
            ("1 Feb 24 00:00 GMT", date(b"1-Feb-2024")),
            ("yesterday", None),
            ("32 Feb 1994", None),
        ] {
            assert_eq!(header_day(field.as_bytes()), day, "{field}");
        }
    }
}
