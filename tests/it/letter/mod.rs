//! To the letter: the same raw requests to Apache's broker and to ours, compared field by field.
//!
//! A case is a short script on names of its own; every answer it asks for is compared, and no
//! difference may be left that `explained` does not name. `cargo xtask letter` runs all of them;
//! an ordinary test run takes a part, another one for every commit.

mod cases;
mod compare;
mod explained;
mod names;
mod pair;
mod records;
mod talk;
mod tree;

use std::time::Instant;

use tests::chance::{self, Chance};

use compare::Difference;
use explained::EXPLAINED;
use pair::Pair;
use talk::Talk;

/// The share of the cases that an ordinary test run takes: one in so many.
const PARTS: usize = 3;

/// A script.
#[derive(Clone, Copy)]
pub struct Case {
    /// `it::letter::cases::produce`
    module: &'static str,
    function: &'static str,
    run: fn(&mut Talk),
}

impl Case {
    /// `produce::unknown_topic`
    fn name(&self) -> String {
        let module = self.module.rsplit("::").next().unwrap_or(self.module);
        format!("{module}::{}", self.function)
    }
}

/// All cases, those that `OTTLA_LETTER` names by the start of their names, or without it a part.
fn chosen() -> Vec<Case> {
    let mut all = cases::all();
    match std::env::var("OTTLA_LETTER") {
        Ok(wanted) if wanted == "all" => all,
        Ok(wanted) => {
            let is_wanted = |name: &str| wanted.split(',').any(|start| name.starts_with(start));
            all.retain(|case| is_wanted(&case.name()));
            assert!(!all.is_empty(), "no case begins with {wanted}");
            all
        }
        Err(_) => {
            let seed = chance::seed();
            println!("a part of the cases: OTTLA_TEST_SEED={seed} gives the same");
            Chance::new(seed).shuffle(&mut all);
            all.truncate(all.len().div_ceil(PARTS));
            all
        }
    }
}

#[test]
fn answers_are_apaches() {
    let cases = chosen();
    let Some(pair) = Pair::start() else { return };
    let start = Instant::now();
    let spoken = pair.speak(&cases);
    let took = start.elapsed();
    // What the brokers printed says less than what they answered.
    drop(pair);
    let mut found: Vec<Difference> = vec![];
    let mut broken = String::new();
    let mut asked = 0;
    for (case, (apache, ours)) in cases.iter().zip(&spoken) {
        match (apache, ours) {
            (Ok(apache), Ok(ours)) => {
                asked += apache.len();
                found.extend(compare::transcripts(&case.name(), apache, ours));
            }
            (apache, ours) => {
                let fault = |side: &pair::Spoken| side.as_ref().err().cloned().unwrap_or_default();
                broken.push_str(&format!(
                    "{} did not run\n    Apache  {}\n    ours    {}\n",
                    case.name(),
                    fault(apache),
                    fault(ours)
                ));
            }
        }
    }
    println!("{asked} requests in {} cases, {:?}", cases.len(), took);
    let with_apache = pair::is_both_apache();
    let stale = if with_apache { String::new() } else { stale(&cases, &found) };
    found.retain(|difference| !EXPLAINED.iter().any(|explained| explained.covers(difference)));
    let report = compare::report(&found);
    assert!(
        found.is_empty() && broken.is_empty() && stale.is_empty(),
        "{report}{broken}{stale}replay with cargo xtask letter --case NAME"
    );
}

/// What is explained but did not occur, of what was run.
fn stale(cases: &[Case], found: &[Difference]) -> String {
    let all = cases::all();
    let of = |cases: &[Case], start: &str| {
        cases.iter().filter(|case| case.name().starts_with(start)).count()
    };
    let mut text = String::new();
    for explained in EXPLAINED.iter().filter(|explained| !explained.is_sometimes) {
        let is_run = of(cases, explained.cases) == of(&all, explained.cases);
        if is_run && !found.iter().any(|difference| explained.covers(difference)) {
            text.push_str(&format!(
                "explained, but it does not occur: {} {}\n",
                explained.api, explained.path
            ));
        }
    }
    text
}

#[test]
fn every_case_has_a_name_of_its_own() {
    let mut names: Vec<String> = cases::all().iter().map(Case::name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), cases::all().len());
}
