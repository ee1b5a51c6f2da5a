//! Days and months of UTC, counted since 1970: the periods of budgets.

use super::tally::Now;

const DAY_MS: i64 = 86_400_000;

/// The moment `ms` milliseconds after the start of 1970.
pub fn calendar(ms: i64) -> Now {
    let day = ms.div_euclid(DAY_MS).clamp(0, i64::from(u32::MAX));
    // The Gregorian calendar repeats every 400 years; years that begin in March have their leap day at the end.
    let since_march = day + 719_468;
    let (era, day_of_era) = (since_march.div_euclid(146_097), since_march.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let months = (era * 400 + year_of_era) * 12 + month_from_march + 2 - 1970 * 12;
    let count = |number: i64| u32::try_from(number).unwrap_or_default();
    Now { ms, day: count(day), month: count(months) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_on_their_first_day() {
        for (seconds, day, month) in [
            (0, 0, 0),
            (31 * 86_400 - 1, 30, 0),
            (31 * 86_400, 31, 1),
            // 2000-02-29 and 2000-03-01.
            (951_782_400, 11_016, 361),
            (951_868_800, 11_017, 362),
            // 2026-11-30 23:59:59 and the second after it.
            (1_796_083_199, 20_787, 682),
            (1_796_083_200, 20_788, 683),
            // 2100-02-28 is followed by 2100-03-01.
            (4_107_456_000, 47_540, 1561),
            (4_107_542_400, 47_541, 1562),
        ] {
            assert_eq!(calendar(seconds * 1000), Now { ms: seconds * 1000, day, month }, "{seconds}");
        }
    }
}
