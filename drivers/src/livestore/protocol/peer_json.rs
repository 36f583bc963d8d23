//! What a peer has sent, as far as JavaScript can say more than JSON as it is read here.
//!
//! A peer's event has its place in the log, and so has to be taken, whatever it says: refusing one would stop the pull there for ever.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Number, Value};

use crate::state::{JsonError, JsonProblem, canonical};

/// The largest integer that JavaScript reads back exactly.
const SAFE_INTEGER: i64 = (1 << 53) - 1;

/// The canonical text of arguments that a peer has sent: numbers are what JavaScript reads. What has no canonical form here, since it is
/// nested too deep or has a number that is none, stays as it came, without the space around its parts: whoever applies the event says
/// that he can't read it, and it goes down in the log as one without effect.
pub(super) fn canonical_of_peer(json: &str) -> Arc<str> {
    let Ok(value) = serde_json::from_str(json) else { return minified(json) };
    match canonical(&value) {
        Err(JsonError { problem: JsonProblem::IntegerTooLarge(_), .. }) => canonical(&as_doubles(&value)),
        other => other,
    }
    .unwrap_or_else(|_| minified(json))
}

/// Without the space between the parts of JSON. Not recursive: how deep it is decides its sender.
fn minified(json: &str) -> Arc<str> {
    let (mut in_text, mut escaped) = (false, false);
    let keep = |&c: &char| {
        let space = !in_text && matches!(c, ' ' | '\t' | '\n' | '\r');
        in_text ^= c == '"' && !escaped;
        escaped = in_text && c == '\\' && !escaped;
        !space
    };
    json.chars().filter(keep).collect::<String>().into()
}

/// The text with U+FFFD in the place of halves of surrogate pairs that stand alone: JavaScript's texts may hold such, and JavaScript
/// itself writes them so wherever bytes are wanted, as into a database.
pub(super) fn without_lone_surrogates(json: &str) -> Cow<'_, str> {
    const UNIT: usize = r"\uD800".len();
    let unit = |at: usize| -> Option<u16> {
        let digits = json.get(at..at + UNIT)?.strip_prefix(r"\u")?;
        digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
    };
    let mut mended = String::new();
    let (mut kept, mut at) = (0, 0);
    while let Some(found) = json.get(at..).and_then(|rest| rest.find('\\')) {
        at += found;
        match unit(at) {
            Some(0xD800..=0xDBFF) if matches!(unit(at + UNIT), Some(0xDC00..=0xDFFF)) => at += 2 * UNIT,
            Some(0xD800..=0xDFFF) => {
                mended.push_str(json.get(kept..at).unwrap_or_default());
                mended.push_str(r"\uFFFD");
                at += UNIT;
                kept = at;
            }
            Some(_) => at += UNIT,
            // A backslash and what it escapes, which is ASCII in any JSON.
            None => at += 2,
        }
    }
    if kept == 0 {
        return Cow::Borrowed(json);
    }
    mended.push_str(json.get(kept..).unwrap_or_default());
    Cow::Owned(mended)
}

/// Large integers as the doubles that JavaScript makes of them.
fn as_doubles(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.as_i64().is_none_or(|n| n.abs() > SAFE_INTEGER) => {
            number.as_f64().and_then(Number::from_f64).map_or(Value::Null, Value::Number)
        }
        Value::Array(items) => items.iter().map(as_doubles).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), as_doubles(value))).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_said_is_read_as_javascript_does() {
        assert_eq!(&*canonical_of_peer(r#"{"b":9007199254740993,"a":1.50}"#), r#"{"a":1.5,"b":9007199254740992}"#);
    }

    #[test]
    fn what_can_not_be_read_stays_as_it_came() {
        let deep = format!("{}{}", "[ ".repeat(100_000), " ]".repeat(100_000));
        assert_eq!(&*canonical_of_peer(&deep), deep.replace(' ', ""));
        assert_eq!(&*canonical_of_peer(r#"{"a": 1e999, "b ": " \" \\"}"#), r#"{"a":1e999,"b ":" \" \\"}"#);
    }

    #[test]
    fn halves_of_surrogate_pairs_are_replaced_and_whole_ones_are_not() {
        for (said, read) in [
            (r#""a\ud83d\ude00b""#, r#""a\ud83d\ude00b""#),
            (r#""a\ud83db""#, r#""a\uFFFDb""#),
            (r#""\uDE00\uD83D""#, r#""\uFFFD\uFFFD""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\uFFFD\ud83d\ude00""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""\\\ud83d""#, r#""\\\uFFFD""#),
            (r#""\u00e4\n\ud83"#, r#""\u00e4\n\ud83"#),
            (r#""\ud83dä\"#, r#""\uFFFDä\"#),
        ] {
            assert_eq!(without_lone_surrogates(said), read, "{said}");
        }
    }
}
