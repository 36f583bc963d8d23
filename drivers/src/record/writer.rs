//! Writing a recording while the store runs.

use std::borrow::Cow;
use std::io::{self, BufWriter, Write};

use countersign_core::{Boot, Config, Input, Output, Time};
use serde::Serialize;

use super::sum::Sum;
use super::{Head, Line, VERSION};

/// Writes lines as things happen. If that fails once, nothing more is written, and the store goes on.
pub(crate) struct Recorder {
    sink: Option<BufWriter<Box<dyn Write + Send>>>,
    said: Sum,
    told: Sum,
}

impl Recorder {
    /// # Errors
    ///
    /// If not even the first line can be written.
    pub(crate) fn start(sink: Box<dyn Write + Send>, config: &Config, boot: &Boot, seed: u64) -> io::Result<Self> {
        let mut recorder = Self { sink: Some(BufWriter::new(sink)), said: Sum::default(), told: Sum::default() };
        let (config, boot) = (Cow::Borrowed(config), Cow::Borrowed(boot));
        recorder.try_put(&Head { countersign_recording: VERSION, config, boot, seed })?;
        recorder.try_flush()?;
        Ok(recorder)
    }

    pub(super) fn input(&mut self, now: Time, input: &Input) {
        let done = self.try_put(&Line::In(now, Cow::Borrowed(input)));
        self.or_stop(done);
    }

    pub(super) fn output(&mut self, output: &Output) {
        self.said.add(output);
    }

    /// All outputs have been taken.
    pub(super) fn idle(&mut self) {
        if self.said != self.told {
            self.told = self.said;
            let done = self.try_put(&Line::Out(self.said.count, self.said.value));
            self.or_stop(done);
        }
        let done = self.try_flush();
        self.or_stop(done);
    }

    fn try_put(&mut self, line: &impl Serialize) -> io::Result<()> {
        let Some(sink) = &mut self.sink else { return Ok(()) };
        serde_json::to_writer(&mut *sink, line)?;
        sink.write_all(b"\n")
    }

    fn try_flush(&mut self) -> io::Result<()> {
        self.sink.as_mut().map_or(Ok(()), Write::flush)
    }

    fn or_stop(&mut self, done: io::Result<()>) {
        if let Err(error) = done {
            tracing::error!(%error, "the recording ends here: it can't be written");
            if let Some(sink) = self.sink.take() {
                // What is left of it has nowhere to go.
                let _ = sink.into_parts();
            }
        }
    }
}
