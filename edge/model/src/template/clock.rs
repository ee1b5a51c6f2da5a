//! The time of day that a template may print, handed in by the caller.

use std::fmt::Write as _;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A date and time on a calendar, without a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CivilTime {
    days: i64,
    seconds: u32,
}

impl CivilTime {
    /// The civil time (UTC) of a Unix timestamp.
    pub fn from_unix(seconds: i64) -> CivilTime {
        // `rem_euclid` of a day is below 86,400.
        CivilTime { days: seconds.div_euclid(86_400), seconds: u32::try_from(seconds.rem_euclid(86_400)).unwrap_or(0) }
    }

    /// The civil time given as `2026-03-07T14:05:09`, if it is one.
    pub fn parse(text: &str) -> Option<CivilTime> {
        let (date, time) = text.split_once(['T', ' '])?;
        let mut date = date.splitn(3, '-').map(str::parse::<u16>);
        let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
        let mut time = time.splitn(3, ':').map(str::parse::<u32>);
        let (hour, minute, second) = (time.next()?.ok()?, time.next()?.ok()?, time.next()?.ok()?);
        if time.next().is_some() || hour >= 24 || minute >= 60 || second >= 60 {
            return None;
        }
        let date = (i64::from(year), i64::from(month), i64::from(day));
        let parsed =
            CivilTime { days: days_from_civil(date.0, date.1, date.2), seconds: hour * 3600 + minute * 60 + second };
        // A date that does not come back is not on the calendar.
        (parsed.date() == date).then_some(parsed)
    }

    /// The time in the words of C's `strftime` with English names, as Python gives it.
    pub(super) fn format(self, pattern: &str) -> String {
        let mut out = String::with_capacity(pattern.len() + 16);
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            match chars.next() {
                Some(pad @ ('-' | '_' | '0')) => match chars.next() {
                    Some(directive) => self.directive(&mut out, directive, Some(pad)),
                    None => out.extend(['%', pad]),
                },
                Some(directive) => self.directive(&mut out, directive, None),
                None => out.push('%'),
            }
        }
        out
    }

    fn directive(self, out: &mut String, directive: char, pad: Option<char>) {
        let (year, month, day) = self.date();
        let (hour, minute, second) = (self.seconds / 3600, self.seconds / 60 % 60, self.seconds % 60);
        let weekday = (self.days + 4).rem_euclid(7);
        let hour12 = (hour + 11) % 12 + 1;
        let mut number = |value: i64, width: usize, fill: char| {
            let fill = pad.unwrap_or(fill);
            let _ = match fill {
                '-' => write!(out, "{value}"),
                '_' | ' ' => write!(out, "{value:width$}"),
                _ => write!(out, "{value:0width$}"),
            };
        };
        match directive {
            'Y' => number(year, 1, '0'),
            'C' => number(year.div_euclid(100), 2, '0'),
            'y' => number(year.rem_euclid(100), 2, '0'),
            'm' => number(month, 2, '0'),
            'd' => number(day, 2, '0'),
            'e' => number(day, 2, ' '),
            'H' => number(i64::from(hour), 2, '0'),
            'k' => number(i64::from(hour), 2, ' '),
            'I' => number(i64::from(hour12), 2, '0'),
            'l' => number(i64::from(hour12), 2, ' '),
            'M' => number(i64::from(minute), 2, '0'),
            'S' => number(i64::from(second), 2, '0'),
            'f' => number(0, 6, '0'),
            'j' => number(self.day_of_year(), 3, '0'),
            'w' => number(weekday, 1, '0'),
            'u' => number((weekday + 6) % 7 + 1, 1, '0'),
            'U' => number((self.day_of_year() - 1 + 7 - weekday) / 7, 2, '0'),
            'W' => number((self.day_of_year() - 1 + 7 - (weekday + 6) % 7) / 7, 2, '0'),
            'G' => number(self.iso_week().0, 1, '0'),
            'V' => number(self.iso_week().1, 2, '0'),
            's' => number(self.days * 86_400 + i64::from(self.seconds), 1, '0'),
            'B' => out.push_str(name(&MONTHS, month - 1)),
            'b' | 'h' => out.push_str(&name(&MONTHS, month - 1)[..3]),
            'A' => out.push_str(name(&WEEKDAYS, weekday)),
            'a' => out.push_str(&name(&WEEKDAYS, weekday)[..3]),
            'p' => out.push_str(if hour < 12 { "AM" } else { "PM" }),
            'P' => out.push_str(if hour < 12 { "am" } else { "pm" }),
            'F' => out.push_str(&self.format("%Y-%m-%d")),
            'D' | 'x' => out.push_str(&self.format("%m/%d/%y")),
            'T' | 'X' => out.push_str(&self.format("%H:%M:%S")),
            'R' => out.push_str(&self.format("%H:%M")),
            'r' => out.push_str(&self.format("%I:%M:%S %p")),
            'c' => out.push_str(&self.format("%a %b %e %H:%M:%S %Y")),
            'n' => out.push('\n'),
            't' => out.push('\t'),
            '%' => out.push('%'),
            // A naive Python datetime has no zone.
            'z' | 'Z' => {}
            other => out.extend(['%', other]),
        }
    }

    fn date(self) -> (i64, i64, i64) {
        civil_from_days(self.days)
    }

    fn day_of_year(self) -> i64 {
        self.days - days_from_civil(self.date().0, 1, 1) + 1
    }

    /// The ISO 8601 year and week: the week of a day is that of its Thursday.
    fn iso_week(self) -> (i64, i64) {
        let thursday = self.days + 3 - (self.days + 3).rem_euclid(7);
        let year = civil_from_days(thursday).0;
        (year, (thursday - days_from_civil(year, 1, 1)) / 7 + 1)
    }
}

fn name(names: &'static [&'static str], index: i64) -> &'static str {
    usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or("   ")
}

/// Days since 1970-01-01, by the usual count of 400-year eras that start in March.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days - era * 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_becomes_its_date() {
        assert_eq!(CivilTime::from_unix(0).format("%Y-%m-%d %H:%M:%S %A"), "1970-01-01 00:00:00 Thursday");
        assert_eq!(CivilTime::from_unix(-1).format("%F %T"), "1969-12-31 23:59:59");
        assert_eq!(CivilTime::from_unix(951_782_400).format("%d %b %Y, day %j"), "29 Feb 2000, day 060");
    }

    #[test]
    fn directives_are_those_of_python() {
        let time = CivilTime::parse("2026-03-07T14:05:09").unwrap();
        let cases = [
            ("%d %b %Y", "07 Mar 2026"),
            ("%B %-d, %Y", "March 7, 2026"),
            ("%e|%k|%l|%I %p", " 7|14| 2|02 PM"),
            ("%A %a %w %u %U %W %V %G", "Saturday Sat 6 6 09 09 10 2026"),
            ("%c|%x|%X|%D|%R", "Sat Mar  7 14:05:09 2026|03/07/26|14:05:09|03/07/26|14:05"),
            ("%y%m%f%%%Z%z%", "2603000000%%"),
            ("%Q %-", "%Q %-"),
        ];
        for (pattern, expected) in cases {
            assert_eq!(time.format(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn only_real_dates_are_parsed() {
        for text in
            ["", "2026-03-07", "2026-02-30T00:00:00", "2026-03-07T24:00:00", "x-1-1T1:1:1", "2026-13-01T00:00:00"]
        {
            assert_eq!(CivilTime::parse(text), None, "{text}");
        }
    }
}
