//! `/admin/delete_topics/T`: a topic that is to go; null data. Knows nothing of how it goes.

pub const PATH: &str = "/admin/delete_topics";

pub fn path(topic: &str) -> String {
    format!("{PATH}/{topic}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn path() {
        assert_eq!(super::path("foo"), "/admin/delete_topics/foo");
    }
}
