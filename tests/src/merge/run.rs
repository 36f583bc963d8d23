use std::io::{self, BufRead, BufReader, Read, Write};

use serde_json::Value;

use super::convert::answer;
use super::form::{Answer, Outcome, Request};

/// Answers each line of `input` with one line; lines of white space have no answer. What has been asked is answered before
/// more is waited for. Returns whether every line was a question.
///
/// # Errors
///
/// Those of reading and writing. A line that is not a question has an answer that says so, and does not end the run.
pub fn run(input: impl Read, mut output: impl Write) -> io::Result<bool> {
    let mut input = BufReader::new(input);
    let mut all_understood = true;
    let mut line = Vec::new();
    for number in 1_u64.. {
        if !input.buffer().contains(&b'\n') {
            output.flush()?;
        }
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let answer = answer_line(&line, number);
        all_understood &= !matches!(answer.outcome, Outcome::Error { .. });
        serde_json::to_writer(&mut output, &answer)?;
        output.write_all(b"\n")?;
    }
    output.flush()?;
    Ok(all_understood)
}

fn answer_line(line: &[u8], number: u64) -> Answer {
    let error = |id, what| Answer { id, outcome: Outcome::Error { message: format!("input line {number}: {what}") } };
    // In two steps, so that a line of the wrong form is still answered under its id.
    let value: Value = match serde_json::from_slice(line) {
        Ok(value) => value,
        Err(not_json) => return error(Value::Null, not_json_at(&not_json)),
    };
    if !value.is_object() {
        return error(Value::Null, "expected an object with id, syncState and payload".to_owned());
    }
    let id = value.get("id").cloned().unwrap_or_default();
    let outcome = serde_path_to_error::deserialize::<_, Request>(value)
        .map_err(|wrong| match wrong.path().to_string().as_str() {
            "." => wrong.inner().to_string(),
            path => format!("{path}: {}", wrong.inner()),
        })
        .and_then(|request| answer(request).map_err(|no_room| no_room.to_string()));
    match outcome {
        Ok(outcome) => Answer { id, outcome },
        Err(what) => error(id, what),
    }
}

/// The parser counts lines of its own, of which there is one.
fn not_json_at(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    format!("not JSON: {}, at column {}", text.strip_suffix(&place).unwrap_or(&text), error.column())
}
