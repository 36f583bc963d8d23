//! Arguments of events as a peer has sent them, in canonical form.

use std::sync::Arc;

use serde_json::{Number, Value};

use crate::state::{JsonError, JsonProblem, canonical};

/// The largest integer that JavaScript reads back exactly.
const SAFE_INTEGER: i64 = (1 << 53) - 1;

/// The canonical text of what a peer has said: numbers are what JavaScript reads. Only refused if nested too deep.
pub(super) fn canonical_of_peer(value: &Value) -> Result<Arc<str>, JsonError> {
    match canonical(value) {
        Err(JsonError { problem: JsonProblem::IntegerTooLarge(_), .. }) => canonical(&as_doubles(value)),
        other => other,
    }
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
        let value: Value = serde_json::from_str(r#"{"b":9007199254740993,"a":1.50}"#).unwrap();
        assert_eq!(&*canonical_of_peer(&value).unwrap(), r#"{"a":1.5,"b":9007199254740992}"#);
    }
}
