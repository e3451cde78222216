//! Regular expressions over topic names, as Kafka's tools take them. Knows nothing of clusters.

use regex_lite::Regex;

/// The topics that belong to the brokers.
pub const INTERNAL_TOPICS: [&str; 2] = ["__consumer_offsets", "__transaction_state"];

/// A pattern that must match the whole name. Commas stand for alternatives, blanks and quotes
/// around it are dropped (Kafka's `TopicFilter`).
#[derive(Debug, Clone)]
pub struct TopicFilter(Regex);

impl TopicFilter {
    pub fn new(pattern: &str) -> Result<TopicFilter, String> {
        let pattern = pattern.trim().replace(',', "|").replace(' ', "");
        let pattern = pattern.trim_start_matches(['"', '\'']).trim_end_matches(['"', '\'']);
        Regex::new(&format!("^(?:{pattern})$"))
            .map(TopicFilter)
            .map_err(|error| format!("{pattern} is an invalid regex: {error}"))
    }

    pub fn allows(&self, topic: &str, exclude_internal: bool) -> bool {
        self.0.is_match(topic) && !(exclude_internal && INTERNAL_TOPICS.contains(&topic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        let filter = TopicFilter::new("'a.*, b'").unwrap();
        assert!(filter.allows("abc", true) && filter.allows("b", true));
        assert!(!filter.allows("cab", true) && !filter.allows("bb", true));
        let all = TopicFilter::new(".*").unwrap();
        assert!(all.allows("__consumer_offsets", false));
        assert!(!all.allows("__consumer_offsets", true));
        assert!(TopicFilter::new("(").is_err());
    }
}
