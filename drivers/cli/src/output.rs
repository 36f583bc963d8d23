//! What is said, and how: results on standard output, everything else on standard error.

use std::fmt::{self, Display};
use std::io::{self, BufWriter, Stdout, Write as _};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::failure::{Result, Said};

/// Standard output, and what is known of who reads it.
pub(crate) struct Output {
    out: BufWriter<Stdout>,
    pub(crate) json: bool,
    /// The styles for standard output.
    pub(crate) paint: Paint,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let paint = Paint { on: !json && AutoStream::choice(&io::stdout()) != ColorChoice::Never };
        Self { out: BufWriter::new(io::stdout()), json, paint }
    }

    /// A line for people.
    pub(crate) fn line(&mut self, text: impl Display) -> Result<()> {
        Ok(writeln!(self.out, "{text}")?)
    }

    /// Text as it is, without the end of a line.
    pub(crate) fn raw(&mut self, text: impl Display) -> Result<()> {
        Ok(write!(self.out, "{text}")?)
    }

    /// An object for programs, on a line of its own.
    pub(crate) fn object(&mut self, object: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.out, object).map_err(io::Error::from)?;
        Ok(writeln!(self.out)?)
    }

    /// Hands on what was said so far.
    pub(crate) fn flush(&mut self) -> Result<()> {
        Ok(self.out.flush()?)
    }

    /// Says on standard error what went wrong.
    pub(crate) fn complain(&self, said: &Said) {
        complain(self.json, said);
    }
}

/// Says on standard error what went wrong. Where that is closed too, the exit status still tells.
pub(crate) fn complain(json: bool, said: &Said) {
    #[derive(Serialize)]
    struct Error<'a> {
        error: &'a Said,
    }
    let mut stderr = io::stderr().lock();
    if json {
        let text = serde_json::to_string(&Error { error: said }).unwrap_or_else(|error| error.to_string());
        let _ = writeln!(stderr, "{text}");
        return;
    }
    let paint = Paint { on: AutoStream::choice(&io::stderr()) != ColorChoice::Never };
    let _ = writeln!(stderr, "{} {said}", paint.bad("error:"));
    if let Some(guard) = &said.guard {
        let _ = writeln!(stderr, "  guard {} {}", guard.name, guard.args);
    }
    for event in &said.events {
        let _ = writeln!(stderr, "  {}", serde_json::to_string(event).unwrap_or_else(|error| error.to_string()));
    }
}

/// Styles, on a terminal that wants them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    pub(crate) on: bool,
}

impl Paint {
    pub(crate) fn bold<T: Display>(self, text: T) -> Painted<T> {
        self.with(Style::new().bold(), text)
    }

    pub(crate) fn dim<T: Display>(self, text: T) -> Painted<T> {
        self.with(Style::new().dimmed(), text)
    }

    pub(crate) fn good<T: Display>(self, text: T) -> Painted<T> {
        self.with(AnsiColor::Green.on_default(), text)
    }

    pub(crate) fn waiting<T: Display>(self, text: T) -> Painted<T> {
        self.with(AnsiColor::Yellow.on_default(), text)
    }

    pub(crate) fn bad<T: Display>(self, text: T) -> Painted<T> {
        self.with(AnsiColor::Red.on_default().bold(), text)
    }

    fn with<T: Display>(self, style: Style, text: T) -> Painted<T> {
        Painted { style: if self.on { style } else { Style::new() }, text }
    }
}

/// Text with a style. A width given to it counts the text alone.
pub(crate) struct Painted<T> {
    style: Style,
    text: T,
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.style)?;
        self.text.fmt(f)?;
        write!(f, "{:#}", self.style)
    }
}
