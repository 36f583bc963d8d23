//! A run as what was chosen in it: lines of JSON that people can read, cut and keep.

use std::fmt::Write as _;
use std::io::{self, BufRead, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What reads this form, and nothing newer.
const VERSION: u32 = 1;

/// What kind of step a choice belongs to. Each kind has its own queue of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The world itself: what is on in it, and how strong.
    World,
    /// A process starts, before anything else happens.
    Start,
    /// A user or an operating system does something.
    User,
    /// Whether a process is killed after any other step.
    Kill,
    /// Storage of this client answers.
    Storage(usize),
    /// A session of this client answers.
    Session(usize),
    /// A push of this client arrives, or its reply does.
    Push(usize),
    /// A pull of this client is served or cut, or a page arrives.
    Pull(usize),
    /// A timer of this client is due.
    Timer(usize),
    /// A process of this client starts or ends.
    Process(usize),
    /// Something heals by itself.
    Heal,
    /// Faults have stopped.
    Rest,
}

/// One step, and what was chosen in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taken {
    /// Its kind.
    pub step: Step,
    /// The choices, in order. What is missing is zero, the calm choice.
    pub choices: Vec<u64>,
}

/// A run, to be played again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The seed of the machines' jitter, and the one that the run was found by.
    pub seed: u64,
    /// What the run shows, for people: the invariant and what was found.
    pub shows: String,
    /// The steps.
    pub taken: Vec<Taken>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    countersign_trace: u32,
    seed: u64,
    shows: String,
}

/// What keeps a trace from being read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The file can't be read.
    #[error("the trace can't be read: {0}")]
    Read(#[from] io::Error),
    /// There is no head.
    #[error("the first line of a trace is {{\"countersign_trace\":{VERSION},\"seed\":..,\"shows\":\"..\"}}; the file has none")]
    NoHead,
    /// A later form, or another one.
    #[error("the trace has form {found}, and this program reads form {VERSION}: was it written by a newer one?")]
    Version {
        /// The form that it has.
        found: u32,
    },
    /// A line is not a step.
    #[error("line {line}: {source}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl Trace {
    /// Reads a trace from a file.
    ///
    /// # Errors
    ///
    /// If it can't be read, or is not a trace of this form.
    pub fn load(path: &Path) -> Result<Self, TraceError> {
        Self::read(io::BufReader::new(std::fs::File::open(path)?))
    }

    /// Reads a trace.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn read(lines: impl BufRead) -> Result<Self, TraceError> {
        let mut lines = (1..).zip(lines.lines());
        let (line, head) = lines.next().ok_or(TraceError::NoHead)?;
        let head: Head = serde_json::from_str(&head?).map_err(|source| TraceError::Line { line, source })?;
        if head.countersign_trace != VERSION {
            return Err(TraceError::Version { found: head.countersign_trace });
        }
        let mut taken = Vec::new();
        for (line, text) in lines {
            let text = text?;
            if !text.trim().is_empty() {
                taken.push(serde_json::from_str(&text).map_err(|source| TraceError::Line { line, source })?);
            }
        }
        Ok(Self { seed: head.seed, shows: head.shows, taken })
    }

    /// Writes it to a file, whose folder is made if it is missing.
    ///
    /// # Errors
    ///
    /// If it can't be written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::File::create(path)?.write_all(self.to_string().as_bytes())
    }

    /// Takes out what changes nothing: zeros at the end of a step, and calm steps at the end of their kind.
    pub(crate) fn trim(&mut self) {
        for taken in &mut self.taken {
            let used = taken.choices.iter().rposition(|&choice| choice != 0).map_or(0, |last| last + 1);
            taken.choices.truncate(used);
        }
        let mut needed: Vec<Step> = Vec::new();
        let mut kept: Vec<Taken> = Vec::new();
        for taken in self.taken.drain(..).rev() {
            // That there is a user's step is a choice in itself.
            if !taken.choices.is_empty() || taken.step == Step::User || needed.contains(&taken.step) {
                if !needed.contains(&taken.step) {
                    needed.push(taken.step);
                }
                kept.push(taken);
            }
        }
        kept.reverse();
        self.taken = kept;
    }
}

impl std::fmt::Display for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let head = Head { countersign_trace: VERSION, seed: self.seed, shows: self.shows.clone() };
        let mut text = serde_json::to_string(&head).map_err(|_| std::fmt::Error)?;
        for taken in &self.taken {
            let line = serde_json::to_string(taken).map_err(|_| std::fmt::Error)?;
            write!(text, "\n{line}")?;
        }
        writeln!(f, "{text}")
    }
}
