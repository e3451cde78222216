//! Isolation levels: the answer to a Fetch that asks for one that does not exist.

use protocol::error_code::ErrorCode;
use protocol::messages::fetch::{
    FetchRequest, FetchResponse, FetchTopic, FetchableTopicResponse, PartitionData,
};

use super::READ_COMMITTED;

const READ_UNCOMMITTED: i8 = 0;

pub fn exists(level: i8) -> bool {
    matches!(level, READ_UNCOMMITTED | READ_COMMITTED)
}

/// As Apache's broker fails: as a whole, and before v13 in every partition asked for as well.
pub fn failure(version: i16, request: &FetchRequest) -> FetchResponse {
    let error_code = ErrorCode::UNKNOWN_SERVER_ERROR.0;
    let failed = |topic: &FetchTopic| FetchableTopicResponse {
        topic: topic.topic.clone(),
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| PartitionData {
                partition_index: partition.partition,
                error_code,
                high_watermark: -1,
                ..Default::default()
            })
            .collect(),
    };
    let responses =
        if version >= 13 { vec![] } else { request.topics.iter().map(failed).collect() };
    FetchResponse { error_code, session_id: request.session_id, responses, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use protocol::messages::fetch::FetchPartition;

    use super::*;

    #[test]
    fn a_level_that_does_not_exist_fails_the_whole_request() {
        assert!(exists(0) && exists(1) && !exists(2) && !exists(-1));
        let partitions = vec![FetchPartition { partition: 5, ..Default::default() }];
        let topic = FetchTopic { topic: "t".into(), partitions, ..Default::default() };
        let request = FetchRequest { topics: vec![topic], ..Default::default() };
        let old = failure(12, &request);
        let partition = &old.responses[0].partitions[0];
        let told = (old.error_code, partition.partition_index, partition.error_code);
        assert_eq!(told, (-1, 5, -1));
        assert_eq!((partition.high_watermark, &partition.records), (-1, &None));
        let new = failure(13, &request);
        assert_eq!((new.error_code, new.responses.len()), (-1, 0));
    }
}
