//! What Countersign is tried with: the programs and helpers of its tests.

pub mod crash;
pub mod driver;
pub mod exhaustive;
#[cfg(test)]
mod faults;
pub mod fuzz;
pub mod invariants;
pub mod merge;
mod model;
pub mod proxy;
pub mod scene;
pub mod script;
pub mod sim;
pub mod todos;
pub mod vfs;
pub mod world;
