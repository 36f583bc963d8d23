//! From JSON text to a type, with an error that says where.

use serde::Deserialize;
use serde_json::error::Category;

use super::error::{DecodeError, Problem};

/// Reads `text` as a `T`. Only if that fails is it read again, slower, to find out where.
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, DecodeError> {
    serde_json::from_str(text).map_err(|error| explain::<T>(text, &error))
}

pub(super) fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    str::from_utf8(bytes).map_err(|error| DecodeError::new("the message", Problem::NotText(error.to_string())))
}

fn explain<'a, T: Deserialize<'a>>(text: &'a str, error: &serde_json::Error) -> DecodeError {
    if error.classify() != Category::Data {
        return DecodeError::new("", Problem::NotJson(error.to_string()));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Err(error) => {
            let path = error.path().to_string();
            let at = if path == "." { String::new() } else { path };
            DecodeError::new(at, Problem::Shape(error.into_inner().to_string()))
        }
        Ok(_) => DecodeError::new("", Problem::Shape(error.to_string())),
    }
}
