//! The differences from Apache that are on purpose. Each names the line of the handler's header
//! that tells the reader of it; one that no longer occurs fails the suite, so the list can only
//! shrink.

use protocol::api::ApiKey;
use tests::places;

use super::compare::Difference;

/// A difference that is on purpose.
pub struct Explained {
    pub api: ApiKey,
    /// The versions in which it shows, first and last.
    pub versions: (i16, i16),
    /// The field, as `Difference::path`.
    pub path: &'static str,
    /// The cases that show it: a name, or the start of names.
    pub cases: &'static str,
    /// Words of the handler's "Differs from Apache".
    pub reason: &'static str,
}

pub const EXPLAINED: &[Explained] = &[];

impl Explained {
    pub fn covers(&self, d: &Difference) -> bool {
        let (first, last) = self.versions;
        self.api == d.api
            && (first..=last).contains(&d.version)
            && self.path == d.path
            && d.case.starts_with(self.cases)
    }

    /// Whether the handler's header says so.
    fn is_told(&self) -> bool {
        let file = format!("broker/src/handlers/{}.rs", snake_case(self.api.name()));
        let text = std::fs::read_to_string(places::root().join(file)).unwrap_or_default();
        let header: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).collect();
        let header = header.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
        let told = header.split_once("Differs from Apache").map_or("", |(_, told)| told);
        !self.reason.is_empty() && told.contains(self.reason)
    }
}

/// `OffsetCommit` is `offset_commit`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

#[test]
fn every_explained_difference_is_told_by_its_handler() {
    for explained in EXPLAINED {
        assert!(
            explained.is_told(),
            "the header of {}'s handler does not say `{}`",
            explained.api,
            explained.reason
        );
    }
}
