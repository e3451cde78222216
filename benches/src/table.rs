//! Medians, and the table that goes into `benches/RESULTS.md`.

use std::fmt::Write;

/// One row: what was measured, in what unit, the medians, and the goal as a ratio.
pub struct Row {
    pub what: String,
    pub unit: &'static str,
    pub apache: f64,
    pub ottla: f64,
    /// A bound on `ottla / apache`, or an absolute one in `unit`.
    pub goal: Goal,
}

#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// Ours is at most this part of Apache's.
    Ratio(f64),
    /// Ours is at least this many times Apache's.
    AtLeast(f64),
    /// Ours is at most this, in the row's unit.
    AtMost(f64),
    /// Shown, not judged.
    None,
}

impl Row {
    fn met(&self) -> Option<bool> {
        match self.goal {
            Goal::Ratio(most) => Some(self.ottla <= self.apache * most),
            Goal::AtLeast(least) => Some(self.ottla >= self.apache * least),
            Goal::AtMost(most) => Some(self.ottla <= most),
            Goal::None => None,
        }
    }
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

pub fn markdown(rows: &[Row]) -> String {
    let mut out = String::from(
        "| Work | Apache 3.9.2 | ottla | ratio | goal | met |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let goal = match row.goal {
            Goal::Ratio(most) => format!("≤ {most:.2} of Apache's"),
            Goal::AtLeast(least) => format!("≥ {least} × Apache's"),
            Goal::AtMost(most) => format!("≤ {most} {}", row.unit),
            Goal::None => "–".to_owned(),
        };
        let met = row.met().map_or("–", |met| if met { "yes" } else { "**no**" });
        let apache = if row.apache.is_nan() {
            "–".into()
        } else {
            format!("{:.3} {}", row.apache, row.unit)
        };
        let ratio = if row.apache.is_nan() {
            "–".into()
        } else {
            format!("{:.3}", row.ottla / row.apache)
        };
        let line = format!(
            "| {} | {apache} | {:.3} {} | {ratio} | {goal} | {met} |",
            row.what, row.ottla, row.unit
        );
        writeln!(out, "{line}").expect("a String takes everything");
    }
    out
}
