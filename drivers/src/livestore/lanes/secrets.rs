//! What must never be shown, even if a server says it back.

use countersign_core::BackendFailure;
use serde_json::Value;

use super::super::protocol::{encode_component, encode_payload};

/// Anything shorter is no secret, and would tear every text apart.
const SHORTEST: usize = 4;

/// Texts that are cut out of whatever is shown.
#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// The texts of a payload, and of these headers' values.
    pub(super) fn of<'a>(payload: Option<&Value>, headers: impl IntoIterator<Item = &'a str>) -> Self {
        let mut secrets: Vec<String> = headers.into_iter().map(str::to_owned).collect();
        if let Some(payload) = payload {
            gather(payload, &mut secrets);
            secrets.push(encode_payload(payload));
        }
        for i in 0..secrets.len() {
            if let Some(bearer) = secrets[i].strip_prefix("Bearer ") {
                secrets.push(bearer.to_owned());
            }
        }
        secrets.retain(|secret| secret.len() >= SHORTEST);
        // As texts of JSON, and as parts of a query encoded once or twice.
        for i in 0..secrets.len() {
            let json = Value::from(secrets[i].as_str()).to_string();
            secrets.push(json.trim_matches('"').to_owned());
            for text in [secrets[i].clone(), json.trim_matches('"').to_owned()] {
                let once = encode_component(&text);
                secrets.push(encode_component(&once));
                secrets.push(once);
            }
        }
        secrets.sort();
        secrets.dedup();
        // The longest first: one may hold another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets)
    }

    /// The text without them.
    pub(super) fn hide(&self, text: &str) -> String {
        let mut text = self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "…"));
        // A long text was cut, perhaps in the middle of one.
        if let Some(cut) = text.strip_suffix('…') {
            let begins = |secret: &&String| {
                (SHORTEST..secret.len()).rev().find(|end| secret.get(..*end).is_some_and(|part| cut.ends_with(part)))
            };
            if let Some(part) = self.0.iter().filter_map(|secret| begins(&secret)).max() {
                text = format!("{}…", &cut[..cut.len() - part]);
            }
        }
        text
    }

    /// The failure without them.
    pub(super) fn hide_in(&self, failure: BackendFailure) -> BackendFailure {
        match failure {
            BackendFailure::Unreachable { message, maybe_applied } => {
                BackendFailure::Unreachable { message: self.hide(&message).into(), maybe_applied }
            }
            BackendFailure::NeedsAuth { message } => BackendFailure::NeedsAuth { message: self.hide(&message).into() },
            BackendFailure::Truncated { message } => BackendFailure::Truncated { message: self.hide(&message).into() },
            BackendFailure::Unknown { message } => BackendFailure::Unknown { message: self.hide(&message).into() },
            BackendFailure::Refused { events } => {
                BackendFailure::Refused { events: events.into_iter().map(|(i, why)| (i, self.hide(&why).into())).collect() }
            }
            other @ (BackendFailure::ServerAhead { .. } | BackendFailure::Identity { .. }) => other,
        }
    }
}

fn gather(value: &Value, secrets: &mut Vec<String>) {
    match value {
        Value::String(text) => secrets.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| gather(item, secrets)),
        Value::Object(fields) => fields.values().for_each(|field| gather(field, secrets)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_server_says_back_is_cut_out() {
        let payload = json!({"authToken": "sesame open", "more": ["sesame", "a"]});
        let secrets = Secrets::of(Some(&payload), ["Bearer abcdef"]);
        let encoded = encode_payload(&payload);
        let said = format!("bad token sesame open (abcdef) in ?payload={encoded}, a pity");
        assert_eq!(secrets.hide(&said), "bad token … (…) in ?payload=…, a pity");
        for said in ["sesame open", "sesame%20open", "sesame%2520open", "ab sesame o…", "ab sesa…"] {
            assert!(!secrets.hide(said).contains("sesa"), "{}", secrets.hide(said));
        }
        let quoted = Secrets::of(Some(&json!({"authToken": "se\"same\\é/+"})), []);
        for said in [r#"{"authToken":"se\"same\\é/+"}"#, "se%22same%5C%C3%A9%2F%2B", "se%2522same%255C%25C3%25A9%252F%252B"] {
            assert!(!quoted.hide(said).contains("same"), "{}", quoted.hide(said));
        }
    }
}
