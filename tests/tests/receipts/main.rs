//! What users of receipts rely on, each on both drivers: the rules of a receipt, its status, barriers and positions, failures, limits,
//! policies.
#![allow(clippy::unwrap_used)]

#[macro_use]
mod drivers;

mod api;
mod attaching;
mod barriers;
mod failures;
mod gate;
mod limits;
mod policies;
mod positions;
mod rules;
mod status;
