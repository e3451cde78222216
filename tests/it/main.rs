//! Whole-broker tests.
