//! Where every choice of a world comes from: a seed, bytes that a fuzzer gives, or a trace of an earlier run.
//!
//! A choice is a number, and zero is always the calm one. Whatever the source, a run can be recorded as what was chosen in each
//! of its steps ([`Trace`]). Played again, each step takes the next choices of its own kind, so that taking one step out of a
//! trace leaves what the others chose: that is what makes a trace shrink.

use std::collections::{BTreeMap, VecDeque};

use super::trace::{Step, Taken, Trace};

/// A stream of choices. A stream that has ended goes on with zeros.
#[derive(Clone, Debug)]
pub struct Choices {
    source: Source,
    record: Option<Vec<Taken>>,
}

#[derive(Clone, Debug)]
enum Source {
    Seed {
        state: u64,
        left: u64,
        bytes: u32,
    },
    Bytes {
        bytes: Vec<u8>,
        at: usize,
    },
    Trace {
        steps: BTreeMap<Step, VecDeque<Vec<u64>>>,
        now: Vec<u64>,
        at: usize,
    },
    /// Nothing but chances is chosen: these, and then none. What was seen is counted.
    Chances {
        taken: Vec<bool>,
        seen: usize,
    },
}

impl Choices {
    /// The choices of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::of(Source::Seed { state: seed, left: 0, bytes: 0 })
    }

    /// Choices read from bytes.
    #[must_use]
    pub fn given(bytes: Vec<u8>) -> Self {
        Self::of(Source::Bytes { bytes, at: 0 })
    }

    /// The choices of a run that was recorded.
    #[must_use]
    pub fn played(trace: &Trace) -> Self {
        let mut steps: BTreeMap<Step, VecDeque<Vec<u64>>> = BTreeMap::new();
        for taken in &trace.taken {
            steps.entry(taken.step).or_default().push_back(taken.choices.clone());
        }
        Self::of(Source::Trace { steps, now: Vec::new(), at: 0 })
    }

    fn of(source: Source) -> Self {
        Self { source, record: None }
    }

    /// Keeps what is chosen.
    #[must_use]
    pub fn recording(self) -> Self {
        Self { record: Some(Vec::new()), ..self }
    }

    /// What was chosen, if it was kept.
    pub(crate) fn recorded(&self) -> Option<&[Taken]> {
        self.record.as_deref()
    }

    /// A step begins: what follows is chosen in it.
    pub(crate) fn begin(&mut self, step: Step) {
        if let Source::Trace { steps, now, at } = &mut self.source {
            (*now, *at) = (steps.get_mut(&step).and_then(VecDeque::pop_front).unwrap_or_default(), 0);
        }
        if let Some(record) = &mut self.record {
            record.push(Taken { step, choices: Vec::new() });
        }
    }

    /// From here on everything is calm, but that these chances are taken, and these not.
    pub(crate) fn chances(&mut self, taken: Vec<bool>) {
        self.source = Source::Chances { taken, seen: 0 };
    }

    /// How many chances there were since [`Self::chances`].
    pub(crate) fn chances_seen(&self) -> usize {
        if let Source::Chances { seen, .. } = self.source { seen } else { 0 }
    }

    /// Whether a trace has no step of this kind left.
    pub(crate) fn is_over(&self, step: Step) -> bool {
        match &self.source {
            Source::Trace { steps, .. } => steps.get(&step).is_none_or(VecDeque::is_empty),
            _ => false,
        }
    }

    fn byte(&mut self) -> u8 {
        match &mut self.source {
            Source::Trace { .. } | Source::Chances { .. } => 0,
            Source::Bytes { bytes, at } => {
                *at += 1;
                bytes.get(*at - 1).copied().unwrap_or(0)
            }
            Source::Seed { state, left, bytes } => {
                if *bytes == 0 {
                    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                    (*left, *bytes) = (mixed(*state), 8);
                }
                *bytes -= 1;
                let byte = (*left & 0xff) as u8;
                *left >>= 8;
                byte
            }
        }
    }

    fn number(&mut self, bytes: u32) -> u64 {
        (0..bytes).fold(0, |number, _| (number << 8) | u64::from(self.byte()))
    }

    /// One choice: the next of a trace, else what `draw` makes of the stream.
    fn choose(&mut self, draw: impl FnOnce(&mut Self) -> u64) -> u64 {
        let chosen = match &mut self.source {
            Source::Trace { now, at, .. } => {
                *at += 1;
                now.get(*at - 1).copied().unwrap_or(0)
            }
            _ => draw(self),
        };
        if let Some(taken) = self.record.as_mut().and_then(|record| record.last_mut()) {
            taken.choices.push(chosen);
        }
        chosen
    }

    /// A number below `n`; 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        let chosen = self.choose(|choices| choices.draw_below(n));
        if n == 0 { 0 } else { chosen % n }
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// An index into something of this length.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// True this many times in a thousand. Costs nothing of a stream where it can't be true.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.choose(|choices| u64::from(choices.draw_chance(per_mille))) > 0 && per_mille > 0
    }

    /// How strong something is in this world: half of the time it is off.
    pub fn strength(&mut self, max: u64) -> u64 {
        let draw = |choices: &mut Self| if choices.draw_chance(500) { 1 + choices.draw_below(max) } else { 0 };
        self.choose(draw).min(max)
    }

    /// A number below `n` that takes nothing of the stream: the worlds in which it comes to nothing stay as they were before it was asked.
    pub fn beside(&mut self, n: u64) -> u64 {
        let chosen = self.choose(|choices| choices.draw_beside());
        if n == 0 { 0 } else { chosen % n }
    }

    fn draw_beside(&self) -> u64 {
        match &self.source {
            Source::Trace { .. } | Source::Chances { .. } => 0,
            Source::Bytes { bytes, .. } => bytes.last().copied().map_or(0, u64::from),
            Source::Seed { state, .. } => mixed(*state ^ 0xa076_1d64_78bd_642f) >> 20,
        }
    }

    fn draw_below(&mut self, n: u64) -> u64 {
        let bytes = match n {
            0 | 1 => return 0,
            2..=64 => 1,
            65..=16_000 => 2,
            _ => 5,
        };
        self.number(bytes) % n
    }

    fn draw_chance(&mut self, per_mille: u64) -> bool {
        if let Source::Chances { taken, seen } = &mut self.source {
            *seen += usize::from(per_mille > 0);
            return per_mille > 0 && taken.get(*seen - 1).copied().unwrap_or(false);
        }
        per_mille > 0 && self.number(2) >= 65_536_u64.saturating_sub(per_mille * 65_536 / 1_000)
    }
}

fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
