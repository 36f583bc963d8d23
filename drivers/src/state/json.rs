//! Canonical JSON (RFC 8785): one text for one value, so that the machine can compare bytes.
//!
//! Written in one pass that also checks what JSON or a JavaScript peer could not give back: integers beyond `2^53 - 1`, numbers that
//! are not finite, keys that are no text. Numbers are formatted by `ryu_js`, strings escaped by `serde_json`.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::canonical::Canonical;

/// The largest integer that JavaScript reads back exactly.
pub(super) const SAFE_INTEGER: i64 = (1 << 53) - 1;

/// Why a value has no canonical JSON, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at {}: {problem}", Where(.path))]
pub struct JsonError {
    /// The fields and places that lead to the value, such as `items[3].price`; empty for the whole.
    pub path: String,
    /// What is wrong, and what to do.
    pub problem: JsonProblem,
}

/// What JSON can't say, or not to every peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonProblem {
    /// A JavaScript peer would read another integer.
    #[error("the integer {0} is beyond ±(2^53 - 1), a JavaScript peer would not read it back exactly: send it as text")]
    IntegerTooLarge(i128),
    /// NaN or an infinity.
    #[error("JSON has no {0}: send a finite number, or null")]
    NotFinite(String),
    /// A key of a map that is no text.
    #[error("keys have to be text, numbers or booleans")]
    KeyNotText,
    /// The same key twice in one object.
    #[error("the key `{0}` is there twice")]
    DuplicateKey(String),
    /// Nested deeper than a peer would read.
    #[error("nested more than {} levels deep", super::canonical::MAX_DEPTH)]
    TooDeep,
    /// The value's own serialisation refused.
    #[error("{0}")]
    Other(String),
}

/// The canonical text of what this client says.
///
/// # Errors
/// If JSON can't say it, or not so that every peer reads the same.
pub(crate) fn canonical(value: &(impl Serialize + ?Sized)) -> Result<Arc<str>, JsonError> {
    let mut writer = Canonical::new();
    value.serialize(&mut writer).map_err(|fault| fault.into_error())?;
    Ok(Arc::from(writer.into_text()))
}

/// Looks through JSON text for an integer that is read as another number, before a parser rounds it silently.
///
/// Beyond 64 bits `serde_json` reads a double, and the loss could no longer be told.
pub(super) fn oversized_integer(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = end_of_string(bytes, at),
            b'-' | b'0'..=b'9' => {
                let end = bytes[at..].iter().position(|b| !b"+-.eE0123456789".contains(b)).map_or(bytes.len(), |n| at + n);
                let number = &text[at..end];
                let integer = !number.contains(['.', 'e', 'E']);
                if integer && number.parse::<i64>().map_or(true, |n| n.unsigned_abs() > SAFE_INTEGER.unsigned_abs()) {
                    return Some(number);
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    None
}

fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

struct Where<'a>(&'a str);

impl fmt::Display for Where<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "the top" } else { self.0 })
    }
}

/// An error on its way up: the path is gathered backwards, and only then.
#[derive(Debug)]
pub(super) struct Fault {
    path: Vec<Cow<'static, str>>,
    problem: JsonProblem,
}

impl Fault {
    pub(super) fn new(problem: JsonProblem) -> Self {
        Self { path: Vec::new(), problem }
    }

    #[must_use]
    pub(super) fn in_field(mut self, name: Cow<'static, str>) -> Self {
        self.path.push(name);
        self
    }

    #[must_use]
    pub(super) fn in_item(mut self, index: usize) -> Self {
        self.path.push(Cow::Owned(format!("[{index}]")));
        self
    }

    fn into_error(self) -> JsonError {
        let mut path = String::new();
        for step in self.path.iter().rev() {
            if !path.is_empty() && !step.starts_with('[') {
                path.push('.');
            }
            path.push_str(step);
        }
        JsonError { path, problem: self.problem }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl std::error::Error for Fault {}

impl serde::ser::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(JsonProblem::Other(message.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use serde_json::Value;

    use super::*;

    fn text(value: impl Serialize) -> String {
        canonical(&value).map(|text| text.to_string()).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn agrees_with_the_reference_implementation() {
        for source in [
            r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#,
            r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#,
            r#"{"b":{"z":1,"a":[{},[],{"y":-0.0,"x":[1,[2]]}]},"a":"","":7,"c":5e-324,"d":1.7976931348623157e308}"#,
            r#"[56,{"d":true,"10":null,"1":[]},-9007199254740991,9007199254740991]"#,
        ] {
            let value: Value = serde_json::from_str(source).unwrap();
            assert_eq!(text(&value), serde_json_canonicalizer::to_string(&value).unwrap());
        }
    }

    #[test]
    fn rust_types_are_what_serde_json_makes_of_them() {
        #[derive(Serialize)]
        enum Kind {
            Unit,
            Newtype(u8),
            Tuple(u8, bool),
            Struct { z: u8, a: char },
        }
        #[derive(Serialize)]
        struct All {
            z: Option<u8>,
            kinds: Vec<Kind>,
            unit: (),
            map: BTreeMap<i32, &'static str>,
            a: f32,
            raw: Box<serde_json::value::RawValue>,
        }
        let all = All {
            z: None,
            kinds: vec![Kind::Unit, Kind::Newtype(1), Kind::Tuple(2, true), Kind::Struct { z: 3, a: 'ä' }],
            unit: (),
            map: BTreeMap::from([(-1, "minus"), (10, "ten")]),
            a: 0.5,
            raw: serde_json::value::RawValue::from_string(r#"{ "y" : 1.0, "x": "\u0041" }"#.to_owned()).unwrap(),
        };
        assert_eq!(
            text(&all),
            r#"{"a":0.5,"kinds":["Unit",{"Newtype":1},{"Tuple":[2,true]},{"Struct":{"a":"ä","z":3}}],"map":{"-1":"minus","10":"ten"},"raw":{"x":"A","y":1},"unit":null,"z":null}"#
        );
    }

    #[test]
    fn what_a_peer_would_misread_is_refused_with_its_path() {
        #[derive(Serialize)]
        struct Deep {
            items: Vec<BTreeMap<&'static str, f64>>,
        }
        let deep = Deep { items: vec![BTreeMap::new(), BTreeMap::from([("price", f64::NAN)])] };
        assert_eq!(text(deep), "at items[1].price: JSON has no NaN: send a finite number, or null");
        let error = canonical(&json!({"a": [9_007_199_254_740_992_u64]})).unwrap_err();
        assert_eq!(error, JsonError { path: "a[0]".into(), problem: JsonProblem::IntegerTooLarge(1 << 53) });
        assert!(canonical(&(-SAFE_INTEGER)).is_ok() && canonical(&(-SAFE_INTEGER - 1)).is_err());
        assert!(canonical(&u128::MAX).is_err() && canonical(&f32::INFINITY).is_err());
        assert_eq!(text(BTreeMap::from([((1, 2), 3)])), "at the top: keys have to be text, numbers or booleans");
        let deep = (0..200).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
        assert_eq!(canonical(&deep).unwrap_err().problem, JsonProblem::TooDeep);
    }

    #[test]
    fn a_flattened_key_that_is_there_twice_is_refused() {
        #[derive(Serialize)]
        struct Outer {
            a: u8,
            #[serde(flatten)]
            rest: BTreeMap<&'static str, u8>,
        }
        let outer = Outer { a: 1, rest: BTreeMap::from([("a", 2)]) };
        assert_eq!(canonical(&outer).unwrap_err().problem, JsonProblem::DuplicateKey("a".into()));
    }

    #[test]
    fn oversized_integers_are_found_in_text() {
        assert_eq!(oversized_integer(r#"{"12345678901234567890\"":"12345678901234567890","a":1e30,"b":[1.0]}"#), None);
        assert_eq!(oversized_integer(r#"{"a":[1, 123456789012345678901]}"#), Some("123456789012345678901"));
        assert_eq!(oversized_integer("-9007199254740992"), Some("-9007199254740992"));
    }
}
