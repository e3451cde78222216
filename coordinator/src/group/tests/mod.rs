//! Tests of the group core: readable tables of who does what when and what everyone is told, and
//! properties that hold for any course of events.

mod commits;
mod joins;
mod lifecycle;
mod properties;
mod rebalances;
mod script;
mod static_members;
mod stored;
