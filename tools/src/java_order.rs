//! The order in which Java's `HashMap` gives its keys: some of Kafka's tools print in it, and
//! scripts that compare lines see it. Knows nothing of what the keys are.

/// `String.hashCode`.
pub fn string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// `TopicPartition.hashCode`.
pub fn partition_hash(topic: &str, partition: i32) -> i32 {
    let hash = 31i32.wrapping_add(partition);
    hash.wrapping_mul(31).wrapping_add(string_hash(topic))
}

/// Items, in the order in which they were put into a `new HashMap()`, as it gives them.
pub fn of_map<T>(items: Vec<T>, hash: impl Fn(&T) -> i32) -> Vec<T> {
    of_map_for(16, items, hash)
}

/// The same for a `new HashMap(capacity)`.
pub fn of_map_for<T>(capacity: usize, items: Vec<T>, hash: impl Fn(&T) -> i32) -> Vec<T> {
    // A power of two, doubled when more than three quarters are in use.
    let mut buckets = capacity.max(1).next_power_of_two();
    while items.len() * 4 > buckets * 3 {
        buckets *= 2;
    }
    let bucket = |item: &T| {
        let hash = hash(item) as u32;
        (hash ^ (hash >> 16)) as usize & (buckets - 1)
    };
    let mut items = items;
    items.sort_by_key(bucket);
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_and_order_are_javas() {
        assert_eq!(string_hash("hello"), 99162322);
        assert_eq!(string_hash("__consumer_offsets"), -970371369);
        // As `new HashMap` of these three gives them, seen in ConfigCommand's output.
        let names = vec!["__consumer_offsets", "plain", "set"];
        let ordered = of_map(names, |name| string_hash(name));
        assert_eq!(ordered, ["set", "plain", "__consumer_offsets"]);
    }
}
