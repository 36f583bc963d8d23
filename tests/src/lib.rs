//! What Countersign is tried with: the programs and helpers of its tests.

pub mod invariants;
pub mod merge;
pub mod todos;
