//! A store's run as a file: everything that its machine was told, in order, so that it can be played again.
//!
//! A recording is what a bug report needs: the machine has no clock, randomness or IO of its own, so that the same inputs give the
//! same outputs, on any computer and years later. [`crate::Opener::record`] writes one, [`Recording`] reads it and plays it again.
//!
//! It is JSON, one value a line. The first has the form's version and what the machine started from: `{"countersign_recording":1,
//! "config":..,"boot":..,"seed":..}`. Then `{"in":[microseconds, input]}` for each input, and, whenever the outputs had been taken,
//! `{"out":[how many there were in all, a sum over all of them]}`. It holds the events of the store in the clear.

mod machine;
mod recording;
mod sum;
mod writer;

pub(crate) use machine::Machine;
pub use recording::{Played, Recording, RecordingError, Replayed};
pub(crate) use writer::Recorder;

use std::borrow::Cow;

use countersign_core::{Boot, Config, Input, Time};
use serde::{Deserialize, Serialize};

/// The form that this program writes, and the only one that it reads.
const VERSION: u32 = 1;

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head<'a> {
    countersign_recording: u32,
    config: Cow<'a, Config>,
    boot: Cow<'a, Boot>,
    seed: u64,
}

/// Every other line.
#[derive(Serialize, Deserialize)]
enum Line<'a> {
    #[serde(rename = "in")]
    In(Time, Cow<'a, Input>),
    #[serde(rename = "out")]
    Out(u64, u64),
}
