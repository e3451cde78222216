//! Tests of the group core: readable tables of who does what when and what everyone is told, and
//! properties that hold for any course of events.

mod classic_client;
mod commits;
mod consumer_groups;
mod consumer_limits;
mod consumer_properties;
mod joins;
mod lifecycle;
mod migration;
mod migration_properties;
mod migration_rules;
mod properties;
mod rebalances;
mod scale;
mod script;
mod static_members;
mod stored;
