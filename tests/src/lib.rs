//! What Countersign is tried with: the programs and helpers of its tests.

#[cfg(feature = "drivers")]
pub mod crash;
pub mod density;
#[cfg(feature = "drivers")]
pub mod driver;
pub mod exhaustive;
#[cfg(test)]
mod faults;
#[cfg(feature = "drivers")]
pub mod fuzz;
pub mod invariants;
pub mod merge;
mod model;
#[cfg(feature = "drivers")]
pub mod proxy;
#[cfg(feature = "drivers")]
pub mod scene;
pub mod script;
pub mod sim;
#[cfg(feature = "drivers")]
pub mod todos;
#[cfg(feature = "drivers")]
pub mod vfs;
pub mod world;
