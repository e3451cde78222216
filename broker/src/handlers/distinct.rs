//! The partitions of a request, each once, by topic: what Kafka gets by collecting a request into a
//! map. Knows nothing of what is asked about them.

use std::collections::HashMap;

/// Topics and partitions in the order in which they were put first. A topic without partitions is
/// none.
#[derive(Debug)]
pub struct DistinctPartitions<V> {
    topics: Vec<(String, Vec<(i32, V)>)>,
    topic_places: HashMap<String, usize>,
    places: HashMap<(usize, i32), usize>,
}

impl<V> Default for DistinctPartitions<V> {
    fn default() -> Self {
        DistinctPartitions {
            topics: Vec::new(),
            topic_places: HashMap::new(),
            places: HashMap::new(),
        }
    }
}

impl<V> DistinctPartitions<V> {
    /// The value of a partition that is there already is replaced; true if it was not there.
    pub fn put(&mut self, topic: &str, partition: i32, value: V) -> bool {
        let at = match self.topic_places.get(topic) {
            Some(at) => *at,
            None => {
                self.topics.push((topic.to_owned(), Vec::new()));
                self.topic_places.insert(topic.to_owned(), self.topics.len() - 1);
                self.topics.len() - 1
            }
        };
        let partitions = &mut self.topics[at].1;
        match self.places.get(&(at, partition)) {
            Some(place) => {
                partitions[*place].1 = value;
                false
            }
            None => {
                self.places.insert((at, partition), partitions.len());
                partitions.push((partition, value));
                true
            }
        }
    }

    pub fn into_topics(self) -> Vec<(String, Vec<(i32, V)>)> {
        self.topics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_and_the_last_value_count() {
        let mut distinct = DistinctPartitions::default();
        let put = [("a", 1, 'x'), ("b", 0, 'y'), ("a", 0, 'z'), ("a", 1, 'w')];
        let new = put.map(|(topic, partition, value)| distinct.put(topic, partition, value));
        assert_eq!(new, [true, true, true, false]);
        let expected =
            [("a".to_owned(), vec![(1, 'w'), (0, 'z')]), ("b".to_owned(), vec![(0, 'y')])];
        assert_eq!(distinct.into_topics(), expected);
    }
}
