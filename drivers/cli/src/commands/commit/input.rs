//! Events as they are given: one on the command line, or JSON lines.

use std::io::BufRead;

use countersign::NewEvent;
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

/// The one event of a command line.
pub(super) fn single(name: String, args: &str) -> Result<NewEvent> {
    NewEvent::parse(name, args).map_err(|error| encode(&error).into())
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

    /// The events of the next line's commit; blank lines are passed over. Nothing at the end.
    pub(super) fn next(&mut self) -> std::result::Result<Option<Vec<NewEvent>>, Said> {
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
fn parse(text: &str) -> std::result::Result<Vec<NewEvent>, Said> {
    let given: Vec<Given<'_>> = match text.trim_start().bytes().next() {
        Some(b'[') => serde_json::from_str(text),
        Some(b'{') => serde_json::from_str(text).map(|one| vec![one]),
        _ => {
            let message = "neither an object {\"name\", \"args\"} nor an array of them";
            return Err(Said::new(Exit::Input, "json", message));
        }
    }
    .map_err(|error| Said::new(Exit::Input, "json", json_problem(&error)))?;
    let event =
        |given: Given<'_>| NewEvent::parse(given.name, given.args.map_or("null", RawValue::get)).map_err(|error| encode(&error));
    given.into_iter().map(event).collect()
}

/// The line is ours to say, the column is not.
fn json_problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let said = text.split(" at line ").next().unwrap_or(&text);
    format!("{said}, at column {}: a line is {{\"name\", \"args\"}}, or an array of those", error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> std::result::Result<Vec<String>, String> {
        let events = parse(text).map_err(|said| said.message)?;
        Ok(events.iter().map(|event| format!("{} {}", event.name, event.args)).collect())
    }

    #[test]
    fn a_line_is_an_event_or_several() {
        assert_eq!(names(r#"{"name":"a","args":{"x":1}}"#).unwrap(), [r#"a {"x":1}"#]);
        assert_eq!(names(r#" [{"name":"a"},{"args":[2],"name":"b"}]"#).unwrap(), ["a null", "b [2]"]);
        assert_eq!(names("[]").unwrap(), [""; 0]);
    }

    #[test]
    fn other_lines_say_what_is_wrong() {
        for (line, part) in [
            ("7", "neither an object"),
            (r#"{"name":"a"#, "EOF while parsing a string, at column 10"),
            (r#"{"nom":"a"}"#, "unknown field `nom`"),
            (r#"{"args":{}}"#, "missing field `name`"),
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
        assert_eq!(lines.next().unwrap().map(|events| (events.len(), lines.number)), Some((1, 2)));
        assert_eq!(lines.next().unwrap().map(|events| (events.len(), lines.number)), Some((1, 5)));
        assert_eq!(lines.next().unwrap(), None);
        assert_eq!(Lines::new(&b"\xff\n"[..]).next().unwrap_err().message, "no UTF-8 from byte 1 on");
    }
}
