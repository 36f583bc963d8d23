//! A hash of whatever says by `Hash` what it is: two runs of one seed share it, and so do two states that are the same.

use std::hash::{Hash, Hasher};

/// Two sums over the same words, each with its own multiplier. The order of the words counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sum(u64, u64);

impl Default for Sum {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325, 0x9e37_79b9_7f4a_7c15)
    }
}

impl Sum {
    pub(crate) fn add(&mut self, what: &impl Hash) {
        what.hash(self);
    }

    pub(crate) fn wide(&self) -> u128 {
        let mix = |mut word: u64| {
            word ^= word >> 32;
            word = word.wrapping_mul(0x9fb2_1c65_1e98_df25);
            word ^ (word >> 29)
        };
        u128::from(mix(self.0)) << 64 | u128::from(mix(self.1))
    }
}

impl Hasher for Sum {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(word));
        }
        self.write_u64(bytes.len() as u64);
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29);
        self.1 = (self.1.rotate_left(31) ^ word).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    }

    fn write_u8(&mut self, word: u8) {
        self.write_u64(u64::from(word));
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        let wide = self.wide();
        (wide >> 64) as u64 ^ wide as u64
    }
}
