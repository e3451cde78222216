//! One file per API: authorise, validate, act, respond. Only these put error codes in responses.

pub mod allocate_producer_ids;
pub mod api_versions;
pub mod controlled_shutdown;
pub mod delete_records;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod fetch;
pub mod init_producer_id;
pub mod leader_and_isr;
pub mod list_offsets;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod stop_replica;
pub mod update_metadata;
