//! Where every choice of a world comes from: one stream of bytes, made from a seed or given by a fuzzer.

/// A stream of choices. A stream that has ended goes on with zeros, and zero is always the calm choice.
#[derive(Clone, Debug)]
pub struct Choices {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Seed { state: u64, left: u64, bytes: u32 },
    Given { bytes: Vec<u8>, at: usize },
}

impl Choices {
    /// The choices of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { source: Source::Seed { state: seed, left: 0, bytes: 0 } }
    }

    /// Choices read from bytes.
    #[must_use]
    pub fn given(bytes: Vec<u8>) -> Self {
        Self { source: Source::Given { bytes, at: 0 } }
    }

    fn byte(&mut self) -> u8 {
        match &mut self.source {
            Source::Given { bytes, at } => {
                *at += 1;
                bytes.get(*at - 1).copied().unwrap_or(0)
            }
            Source::Seed { state, left, bytes } => {
                if *bytes == 0 {
                    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                    let mut z = *state;
                    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                    (*left, *bytes) = (z ^ (z >> 31), 8);
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

    /// A number below `n`; 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        let bytes = match n {
            0 | 1 => return 0,
            2..=64 => 1,
            65..=16_000 => 2,
            _ => 5,
        };
        self.number(bytes) % n
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// An index into something of this length.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// True this many times in a thousand. Costs no choice where it can't be true.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        per_mille > 0 && self.number(2) >= 65_536_u64.saturating_sub(per_mille * 65_536 / 1_000)
    }

    /// How strong something is in this world: half of the time it is off.
    pub fn strength(&mut self, max: u64) -> u64 {
        if self.chance(500) { self.between(1, max) } else { 0 }
    }
}
