//! What tells two sequences of outputs apart.

use std::io::{self, Write};

use countersign_core::Output;

/// FNV-1a over the JSON of each output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) count: u64,
    pub(super) value: u64,
}

impl Default for Sum {
    fn default() -> Self {
        Self { count: 0, value: 0xcbf2_9ce4_8422_2325 }
    }
}

impl Sum {
    pub(super) fn add(&mut self, output: &Output) {
        self.count += 1;
        // Outputs have nothing that JSON can't say, and a sum takes everything.
        let written = serde_json::to_writer(&mut *self, output);
        debug_assert!(written.is_ok(), "{written:?}");
    }
}

impl Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for &byte in bytes {
            self.value = (self.value ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
