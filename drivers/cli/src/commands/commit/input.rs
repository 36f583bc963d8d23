//! Events as they are given: one on the command line, or JSON lines.

use std::io::BufRead;

use countersign::{NewEvent, NewGuard};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::exit::Exit;
use crate::failure::{Result, Said, encode};

/// The longest line. A commit holds 16 MiB at most; escaped, its text may take six times as much.
const LONGEST: u64 = 100 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given<'a> {
    name: String,
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenCommit<'a> {
    #[serde(borrow)]
    events: Vec<Given<'a>>,
    #[serde(borrow, default)]
    guard: Option<Given<'a>>,
}

/// A commit as it is given.
#[derive(Debug, PartialEq)]
pub(super) struct Ordered {
    pub(super) events: Vec<NewEvent>,
    pub(super) guard: Option<NewGuard>,
}

/// The one event of a command line, and its guard.
pub(super) fn single(name: String, args: &str, guard: Option<(String, &str)>) -> Result<Ordered> {
    let event = NewEvent::parse(name, args).map_err(|error| encode(&error))?;
    let guard = guard.map(|(name, args)| NewGuard::parse(name, args)).transpose().map_err(|error| encode(&error))?;
    Ok(Ordered { events: vec![event], guard })
}

/// Lines, numbered from 1.
pub(super) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    pub(super) number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, line: Vec::new(), number: 0 }
    }

    /// The next line's commit; blank lines are passed over. Nothing at the end.
    pub(super) fn next(&mut self) -> std::result::Result<Option<Ordered>, Said> {
        loop {
            self.line.clear();
            self.number += 1;
            let read = std::io::Read::take(&mut self.reader, LONGEST).read_until(b'\n', &mut self.line);
            let read = read.map_err(|error| Said::new(Exit::Machine, "input", format!("the input can't be read: {error}")))?;
            if read == 0 {
                return Ok(None);
            }
            if read as u64 == LONGEST && self.line.last() != Some(&b'\n') {
                let message = format!("longer than {} MiB: split it into several commits", LONGEST >> 20);
                return Err(Said::new(Exit::Input, "too_large", message));
            }
            let text = std::str::from_utf8(&self.line)
                .map_err(|error| Said::new(Exit::Input, "json", format!("no UTF-8 from byte {} on", error.valid_up_to() + 1)))?;
            if !text.trim().is_empty() {
                return parse(text.trim_end()).map(Some);
            }
        }
    }
}

/// One line: an object, or an array of objects.
fn parse(text: &str) -> std::result::Result<Ordered, Said> {
    let unguarded = |events| GivenCommit { events, guard: None };
    let given: GivenCommit<'_> = match text.trim_start().bytes().next() {
        Some(b'[') => serde_json::from_str(text).map(unguarded),
        // Its keys tell the one from the other, wherever they stand.
        Some(b'{') => match serde_json::from_str(text) {
            Ok(Keys { events: None, guard: None }) => serde_json::from_str(text).map(|one| unguarded(vec![one])),
            Ok(_) => serde_json::from_str(text),
            Err(error) => Err(error),
        },
        _ => {
            let message = "neither an object {\"name\", \"args\"} nor an array of them, nor {\"events\", \"guard\"}";
            return Err(Said::new(Exit::Input, "json", message));
        }
    }
    .map_err(|error| Said::new(Exit::Input, "json", json_problem(&error)))?;
    let args = |args: Option<&RawValue>| args.map_or("null", RawValue::get).to_owned();
    let event = |given: Given<'_>| NewEvent::parse(given.name, &args(given.args)).map_err(|error| encode(&error));
    let guard = |given: Given<'_>| NewGuard::parse(given.name, &args(given.args)).map_err(|error| encode(&error));
    let events = given.events.into_iter().map(event).collect::<std::result::Result<_, _>>()?;
    Ok(Ordered { events, guard: given.guard.map(guard).transpose()? })
}

/// What only a commit under a guard has.
#[derive(Deserialize)]
struct Keys {
    events: Option<serde::de::IgnoredAny>,
    guard: Option<serde::de::IgnoredAny>,
}

/// The line is ours to say, the column is not.
fn json_problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let said = text.split(" at line ").next().unwrap_or(&text);
    format!(
        "{said}, at column {}: a line is {{\"name\", \"args\"}}, an array of those, or {{\"events\": [..], \"guard\": {{\"name\", \"args\"}}}}",
        error.column()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> std::result::Result<Vec<String>, String> {
        let Ordered { events, guard } = parse(text).map_err(|said| said.message)?;
        let guard = guard.map(|guard| format!("if {} {}", guard.name, guard.args));
        Ok(guard.into_iter().chain(events.iter().map(|event| format!("{} {}", event.name, event.args))).collect())
    }

    #[test]
    fn a_line_is_an_event_or_several() {
        assert_eq!(names(r#"{"name":"a","args":{"x":1}}"#).unwrap(), [r#"a {"x":1}"#]);
        assert_eq!(names(r#" [{"name":"a"},{"args":[2],"name":"b"}]"#).unwrap(), ["a null", "b [2]"]);
        assert_eq!(names("[]").unwrap(), [""; 0]);
        let guarded = r#"{"guard":{"name":"g","args":{"x":1}},"events":[{"name":"a"}]}"#;
        assert_eq!(names(guarded).unwrap(), [r#"if g {"x":1}"#, "a null"]);
        assert_eq!(names(r#"{"events":[{"name":"a"}]}"#).unwrap(), ["a null"]);
    }

    #[test]
    fn other_lines_say_what_is_wrong() {
        for (line, part) in [
            ("7", "neither an object"),
            (r#"{"name":"a"#, "EOF while parsing a string, at column 10"),
            (r#"{"nom":"a"}"#, "unknown field `nom`"),
            (r#"{"args":{}}"#, "missing field `name`"),
            (r#"{"guard":{"name":"g"}}"#, "missing field `events`"),
            (r#"{"guard":{"name":"g"},"events":[],"args":1}"#, "unknown field `args`"),
            (
                r#"{"guard":{"name":"g","args":9007199254740993},"events":[]}"#,
                "guard `g`: its arguments: the integer 9007199254740993",
            ),
            (r#"{"name":"a","args":9007199254740993}"#, "9007199254740993 in its arguments is beyond"),
            (r#"{"name":"a"} x"#, "trailing characters"),
        ] {
            let message = names(line).unwrap_err();
            assert!(message.contains(part), "{line}: {message}");
        }
    }

    #[test]
    fn lines_are_counted_blank_ones_too() {
        let mut lines = Lines::new(&b"\n{\"name\":\"a\"}\r\n\n  \n{\"name\":\"b\"}"[..]);
        assert_eq!(lines.next().unwrap().map(|commit| (commit.events.len(), lines.number)), Some((1, 2)));
        assert_eq!(lines.next().unwrap().map(|commit| (commit.events.len(), lines.number)), Some((1, 5)));
        assert_eq!(lines.next().unwrap(), None);
        assert_eq!(Lines::new(&b"\xff\n"[..]).next().unwrap_err().message, "no UTF-8 from byte 1 on");
    }
}
