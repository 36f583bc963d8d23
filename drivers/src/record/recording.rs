//! Reading a recording, and playing it again.

use std::io::{self, BufRead};

use countersign_core::{Boot, BootError, Config, Input, Node, Output, Time};

use super::sum::Sum;
use super::{Head, Line, VERSION};

/// A recorded run of one store, from its opening to the end of the recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// The limits and policies that the store was opened with.
    pub config: Config,
    /// What was in the file when it was opened.
    pub boot: Boot,
    /// What the jitter of retries came from.
    pub seed: u64,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    In(Time, Box<Input>),
    /// How many outputs there had been, their sum, and the line that says so.
    Out(u64, u64, usize),
}

/// One thing in a recording that is played again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Played<'a> {
    /// The machine is told something, at this time.
    Input(Time, &'a Input),
    /// The machine says something.
    Output(&'a Output),
}

/// What came of playing a recording again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Inputs handed in.
    pub inputs: u64,
    /// Outputs, all of them byte for byte those of the recorded run.
    pub outputs: u64,
}

/// What is wrong with a recording.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// It can't be read.
    #[error("the recording can't be read: {0}")]
    Read(#[from] io::Error),
    /// There is nothing in it.
    #[error("the recording is empty: its first line says what the store started from")]
    Empty,
    /// Another form, of a newer program.
    #[error("the recording has form {found}, and this program reads form {VERSION}: play it with the version that wrote it")]
    Version {
        /// The form that it has.
        found: u32,
    },
    /// A line can't be read. The last one of a process that was killed may be cut off: take it out.
    #[error("line {line} of the recording: {message}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// What the store started from is not the state of a store.
    #[error("the recorded store does not open: {0}")]
    Boot(#[from] BootError),
    /// The machine says something else than it said then: it is not the same one, or does not depend on its inputs alone.
    #[error("up to line {line} there were {recorded} outputs; played again there are {now}, or others")]
    Differs {
        /// The line that the run was compared with.
        line: usize,
        /// How many outputs there had been.
        recorded: u64,
        /// How many there are.
        now: u64,
    },
}

impl Recording {
    /// Reads a recording, line by line.
    ///
    /// # Errors
    ///
    /// If it can't be read, or is not a recording of this form.
    pub fn read(lines: impl BufRead) -> Result<Self, RecordingError> {
        let mut lines = (1..).zip(lines.lines());
        let unreadable = |line, error: serde_json::Error| RecordingError::Line { line, message: error.to_string() };
        let (line, text) = lines.next().ok_or(RecordingError::Empty)?;
        let text = text?;
        // The rest of a newer form may look like anything.
        let version = serde_json::from_str::<serde_json::Value>(&text).map_err(|error| unreadable(line, error))?;
        match version.get("countersign_recording").and_then(serde_json::Value::as_u64) {
            Some(found) if found == u64::from(VERSION) => {}
            Some(found) => return Err(RecordingError::Version { found: u32::try_from(found).unwrap_or(u32::MAX) }),
            None => return Err(RecordingError::Line { line, message: "it is not the first line of a recording".to_owned() }),
        }
        let head: Head<'_> = serde_json::from_str(&text).map_err(|error| unreadable(line, error))?;
        let mut steps = Vec::new();
        for (line, text) in lines {
            steps.push(match serde_json::from_str(&text?).map_err(|error| unreadable(line, error))? {
                Line::In(now, input) => Step::In(now, Box::new(input.into_owned())),
                Line::Out(count, sum) => Step::Out(count, sum, line),
            });
        }
        Ok(Self { config: head.config.into_owned(), boot: head.boot.into_owned(), seed: head.seed, steps })
    }

    /// What the machine was told, and when.
    pub fn inputs(&self) -> impl Iterator<Item = (Time, &Input)> {
        self.steps.iter().filter_map(|step| match step {
            Step::In(now, input) => Some((*now, &**input)),
            Step::Out(..) => None,
        })
    }

    /// Plays it into a fresh machine, and compares everything that this one says with what was said then. `look` is shown each input
    /// and each output, in order.
    ///
    /// # Errors
    ///
    /// If the store does not open, or the outputs are not the same.
    pub fn replay(&self, mut look: impl FnMut(Played<'_>)) -> Result<Replayed, RecordingError> {
        let mut node = Node::new(self.config.clone(), self.boot.clone(), self.seed)?;
        let mut said = Sum::default();
        let mut inputs = 0;
        for step in &self.steps {
            match step {
                Step::In(now, input) => {
                    inputs += 1;
                    look(Played::Input(*now, input));
                    node.handle(*now, (**input).clone());
                }
                &Step::Out(count, value, line) => {
                    drain(&mut node, &mut said, &mut look);
                    if said != (Sum { count, value }) {
                        return Err(RecordingError::Differs { line, recorded: count, now: said.count });
                    }
                }
            }
        }
        drain(&mut node, &mut said, &mut look);
        Ok(Replayed { inputs, outputs: said.count })
    }
}

fn drain(node: &mut Node, said: &mut Sum, look: &mut impl FnMut(Played<'_>)) {
    loop {
        match node.poll() {
            Output::Idle { .. } => return,
            output => {
                said.add(&output);
                look(Played::Output(&output));
            }
        }
    }
}
