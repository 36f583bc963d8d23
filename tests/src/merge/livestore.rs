use std::collections::BTreeSet;

use countersign_core::Pos;
use countersign_core::merge::Boundary;
use serde_json::Value;

use super::form::Event;

/// A boundary as LiveStore has it, where an event is known by its place, its author and what it says.
#[derive(Clone, Copy, Debug)]
pub struct LiveStore<'a> {
    /// Which events are client-only.
    pub client_only: &'a ClientOnly,
    /// Whether the upstream never names them.
    pub ignore_client_only: bool,
}

impl Boundary<Event, Event> for LiveStore<'_> {
    fn position(&self, incoming: &Event) -> Pos {
        incoming.seq_num.pos
    }

    fn passes_over(&self, pending: &Event) -> bool {
        self.ignore_client_only && self.client_only.is(pending)
    }

    fn same(&mut self, pending: &Event, incoming: &Event) -> bool {
        pending.seq_num.pos == incoming.seq_num.pos
            && pending.name == incoming.name
            && pending.client_id == incoming.client_id
            && pending.session_id == incoming.session_id
            && same_json(pending.args(), incoming.args())
    }
}

/// Which events are client-only.
#[derive(Clone, Debug)]
pub enum ClientOnly {
    /// Those whose number has a client part.
    ByPlace,
    /// Those of these names.
    Named(BTreeSet<String>),
}

impl ClientOnly {
    /// Whether the event is.
    #[must_use]
    pub fn is(&self, event: &Event) -> bool {
        match self {
            Self::ByPlace => event.seq_num.pos.is_client_only(),
            Self::Named(names) => names.contains(&event.name),
        }
    }
}

/// Whether two values have the same canonical text. There, a number is the double that JavaScript reads: `1.0` is `1`, and
/// `-0` is `0`. The order of keys does not count, that of elements does.
fn same_json(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_json(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same_json(a, b)))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(changes: Value) -> Event {
        let mut event = json!({"name": "n", "seqNum": "e1", "parentSeqNum": "e0", "clientId": "c", "sessionId": "s"});
        let Value::Object(changes) = changes else { panic!("not an object") };
        event.as_object_mut().unwrap().extend(changes);
        serde_json::from_value(event).unwrap()
    }

    fn same(a: Value, b: Value) -> bool {
        LiveStore { client_only: &ClientOnly::ByPlace, ignore_client_only: false }.same(&event(a), &event(b))
    }

    fn same_args(a: &str, b: &str) -> bool {
        let args = |text| json!({"args": serde_json::from_str::<Value>(text).unwrap()});
        same(args(a), args(b))
    }

    #[test]
    fn arguments_are_compared_as_canonical_json() {
        assert!(same_args(r#"{"a": 1, "b": [1, {"c": null}]}"#, r#"{"b": [1.0, {"c": null}], "a": 1e0}"#));
        assert!(same_args("-0", "0") && same_args("-0.0", "0"));
        assert!(same_args("9007199254740993", "9007199254740992"), "one and the same double");
        assert!(same_args("0.1", "1e-1"));
        assert!(same_args(r#""\u0061""#, r#""a""#));
        for (a, b) in [
            ("[1, 2]", "[2, 1]"),
            ("1", "\"1\""),
            ("1", "true"),
            ("null", "{}"),
            ("{}", r#"{"a": null}"#),
            (r#"{"a": null}"#, r#"{"b": null}"#),
            ("[]", "[null]"),
            ("0.1", "0.10000000000000002"),
            ("9007199254740991", "9007199254740992"),
        ] {
            assert!(!same_args(a, b) && !same_args(b, a), "{a} and {b}");
        }
    }

    #[test]
    fn absent_and_null_arguments_are_the_same() {
        assert!(same(json!({}), json!({"args": null})) && same(json!({"args": null}), json!({})));
        assert!(!same(json!({}), json!({"args": {}})));
    }

    #[test]
    fn place_author_and_name_count_and_nothing_else_does() {
        for other in [
            json!({"name": "m"}),
            json!({"seqNum": "e2"}),
            json!({"seqNum": "e1.1"}),
            json!({"clientId": "d"}),
            json!({"sessionId": "t"}),
        ] {
            assert!(!same(json!({}), other.clone()), "{other}");
        }
        assert!(same(json!({}), json!({"seqNum": "e1r3", "parentSeqNum": "e0r2", "meta": {"x": 1}})));
    }
}
