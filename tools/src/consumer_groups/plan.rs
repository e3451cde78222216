//! Times and files that --reset-offsets takes: ISO times and durations, CSV plans. Knows nothing of
//! clusters.

use std::collections::BTreeMap;

use protocol::ids::{Offset, TimestampMs, TopicPartition};

use crate::dates;

/// A plan by group.
pub type Plan = BTreeMap<String, BTreeMap<TopicPartition, Offset>>;

/// `yyyy-MM-ddTHH:mm:ss[.SSS]` and a zone, `Z`, `+hh`, `+hhmm` or `+hh:mm`; UTC without one. In
/// milliseconds.
pub fn datetime(text: &str) -> Option<TimestampMs> {
    let (date, time) = text.split_once('T')?;
    let mut parts = date.splitn(3, '-');
    let year: i64 = parts.next()?.parse().ok()?;
    let month: i64 = parts.next()?.parse().ok().filter(|m| (1..=12).contains(m))?;
    let day: i64 = parts.next()?.parse().ok().filter(|d| (1..=31).contains(d))?;
    let (clock, zone) = match time.find(['Z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, "Z"),
    };
    let mut parts = clock.splitn(3, ':');
    let hour: i64 = parts.next()?.parse().ok()?;
    let minute: i64 = parts.next()?.parse().ok()?;
    let (second, fraction) =
        parts.next()?.split_once('.').unwrap_or((clock.rsplit(':').next()?, "0"));
    let second: i64 = second.parse().ok()?;
    let millis: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let seconds = dates::days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some((seconds - zone_seconds(zone)?) * 1_000 + millis)
}

fn zone_seconds(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits = zone[1..].replace(':', "");
    let hours: i64 = digits.get(..2)?.parse().ok()?;
    let minutes: i64 =
        digits.get(2..).filter(|m| !m.is_empty()).map_or(Some(0), |m| m.parse().ok())?;
    Some(sign * (hours * 3_600 + minutes * 60))
}

/// `PnDTnHnMn.nS`, in milliseconds.
pub fn duration_ms(text: &str) -> Option<i64> {
    let rest = text.strip_prefix(['P', 'p'])?;
    let (date, time) = match rest.split_once(['T', 't']) {
        Some((_, "")) => return None,
        Some((date, time)) => (date, time),
        None => (rest, ""),
    };
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let date = units(date, &[('D', 86_400_000.0)])?;
    Some(date + units(time, &[('H', 3_600_000.0), ('M', 60_000.0), ('S', 1_000.0)])?)
}

fn units(mut text: &str, known: &[(char, f64)]) -> Option<i64> {
    let mut sum = 0.0;
    while !text.is_empty() {
        let at = text.find(|c: char| c.is_ascii_alphabetic())?;
        let number: f64 = text[..at].parse().ok()?;
        let unit = text[at..].chars().next()?.to_ascii_uppercase();
        sum += number * known.iter().find(|(name, _)| *name == unit)?.1;
        text = &text[at + 1..];
    }
    Some(sum as i64)
}

/// `topic,partition,offset` lines for the one group of the command, or
/// `group,topic,partition,offset`.
pub fn parse_csv(text: &str, only_group: Option<&str>) -> Result<Plan, String> {
    let mut plan = Plan::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let cells: Vec<&str> = line.split(',').map(|c| c.trim().trim_matches('"')).collect();
        let (group, rest) = match (cells.len(), only_group) {
            (3, Some(group)) => (group, &cells[..]),
            (4, _) => (cells[0], &cells[1..]),
            _ => return Err(format!("Invalid line in reset plan: {line}")),
        };
        let bad = || format!("Invalid line in reset plan: {line}");
        let partition = rest[1].parse().map_err(|_| bad())?;
        let offset = rest[2].parse().map_err(|_| bad())?;
        let key = TopicPartition::new(rest[0], partition);
        plan.entry(group.to_owned()).or_default().insert(key, offset);
    }
    Ok(plan)
}

/// The plan as `parse_csv` reads it, with the group's name if there are several.
pub fn to_csv(plan: &Plan, with_group: bool) -> String {
    let mut out = String::new();
    for (group, offsets) in plan {
        for (p, offset) in offsets {
            if with_group {
                out += &format!("{group},");
            }
            out += &format!("{},{},{offset}\n", p.topic, p.partition);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_zone() {
        assert_eq!(datetime("1970-01-01T00:00:00.000"), Some(0));
        assert_eq!(datetime("2026-11-21T20:33:59.5Z"), Some(1_795_293_239_500));
        assert_eq!(datetime("2026-11-21T22:33:59.500+02:00"), Some(1_795_293_239_500));
        assert_eq!(datetime("2026-11-21T18:33:59.500-0200"), Some(1_795_293_239_500));
        assert_eq!(datetime("2000-02-29T00:00:00"), Some(951_782_400_000));
        for bad in ["", "2026", "2026-13-01T00:00:00", "2026-01-01 00:00", "x-y-zT1:2:3"] {
            assert_eq!(datetime(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_are_read() {
        assert_eq!(duration_ms("PT1H30M"), Some(5_400_000));
        assert_eq!(duration_ms("P1DT0.5S"), Some(86_400_500));
        for bad in ["", "P", "PT", "1H", "PT1X", "P1H"] {
            assert_eq!(duration_ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn plans_read_back() {
        let plan = parse_csv("t,0,5\nt,1,6\n", Some("g")).unwrap();
        assert_eq!(plan["g"][&TopicPartition::new("t", 1)], 6);
        assert_eq!(parse_csv(&to_csv(&plan, true), None), Ok(plan.clone()));
        assert_eq!(parse_csv(&to_csv(&plan, false), Some("g")), Ok(plan));
        assert!(parse_csv("t,0,5", None).is_err() && parse_csv("t,x,5", Some("g")).is_err());
    }
}
