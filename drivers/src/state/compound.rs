//! Arrays and objects of canonical JSON.

use std::borrow::Cow;
use std::ops::Range;

use serde::Serialize;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
    SerializeTupleVariant,
};
use serde_json::Value;
use smallvec::SmallVec;

use super::canonical::Canonical;
use super::json::{Fault, JsonProblem};

/// An array being written.
pub(super) struct Array<'a> {
    writer: &'a mut Canonical,
    count: usize,
    /// Whether it is the content of an enum's variant.
    variant: bool,
}

impl<'a> Array<'a> {
    pub(super) fn new(writer: &'a mut Canonical) -> Self {
        Self { writer, count: 0, variant: false }
    }

    pub(super) fn of_variant(mut self) -> Self {
        self.variant = true;
        self
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        if self.count > 0 {
            self.writer.text.push(',');
        }
        value.serialize(&mut *self.writer).map_err(|fault| fault.in_item(self.count))?;
        self.count += 1;
        Ok(())
    }

    fn finish(self) {
        self.writer.depth -= 1;
        self.writer.text.push(']');
        if self.variant {
            self.writer.close_variant();
        }
    }
}

/// An object being written: in the order given, then put in order where that differs.
pub(super) struct Object<'a> {
    writer: &'a mut Canonical,
    start: usize,
    entries: SmallVec<[(Cow<'static, str>, Range<usize>); 8]>,
    key: Option<String>,
    /// Whether it is the content of an enum's variant.
    variant: bool,
    /// Whether it is no object at all but text that is JSON already.
    raw: bool,
}

impl<'a> Object<'a> {
    pub(super) fn new(writer: &'a mut Canonical) -> Self {
        let start = writer.text.len();
        Self { writer, start, entries: SmallVec::new(), key: None, variant: false, raw: false }
    }

    pub(super) fn of_variant(mut self) -> Self {
        self.variant = true;
        self
    }

    pub(super) fn of_raw_text(mut self) -> Self {
        self.raw = true;
        self
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: Cow<'static, str>, value: &T) -> Result<(), Fault> {
        if self.raw {
            return self.raw_value(value);
        }
        if !self.entries.is_empty() {
            self.writer.text.push(',');
        }
        let start = self.writer.text.len();
        self.writer.string(&key);
        self.writer.text.push(':');
        if let Err(fault) = value.serialize(&mut *self.writer) {
            return Err(fault.in_field(key));
        }
        self.entries.push((key, start..self.writer.text.len()));
        Ok(())
    }

    fn raw_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        let other = |error: serde_json::Error| Fault::new(JsonProblem::Other(error.to_string()));
        if let Value::String(text) = serde_json::to_value(value).map_err(other)? {
            serde_json::from_str::<Value>(&text).map_err(other)?.serialize(&mut *self.writer)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), Fault> {
        if self.raw {
            return Ok(());
        }
        if !self.entries.is_sorted_by(|(a, _), (b, _)| before(a, b)) {
            self.sort()?;
        }
        self.writer.depth -= 1;
        self.writer.text.push('}');
        if self.variant {
            self.writer.close_variant();
        }
        Ok(())
    }

    fn sort(&mut self) -> Result<(), Fault> {
        self.entries.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
        if let Some(twice) = self.entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Fault::new(JsonProblem::DuplicateKey(twice[0].0.clone().into_owned())));
        }
        let text = &mut self.writer.text;
        let mut sorted = String::with_capacity(text.len() - self.start);
        for (index, (_, range)) in self.entries.iter().enumerate() {
            if index > 0 {
                sorted.push(',');
            }
            sorted.push_str(&text[range.clone()]);
        }
        text.truncate(self.start);
        text.push_str(&sorted);
        Ok(())
    }
}

/// The order of RFC 8785, by UTF-16 code units; false for equal keys.
fn before(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() { a < b } else { a.encode_utf16().lt(b.encode_utf16()) }
}

impl SerializeSeq for Array<'_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.item(value)
    }

    fn end(self) -> Result<(), Fault> {
        self.finish();
        Ok(())
    }
}

impl SerializeTuple for Array<'_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.item(value)
    }

    fn end(self) -> Result<(), Fault> {
        self.finish();
        Ok(())
    }
}

impl SerializeTupleStruct for Array<'_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.item(value)
    }

    fn end(self) -> Result<(), Fault> {
        self.finish();
        Ok(())
    }
}

impl SerializeTupleVariant for Array<'_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.item(value)
    }

    fn end(self) -> Result<(), Fault> {
        self.finish();
        Ok(())
    }
}

impl SerializeMap for Object<'_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Fault> {
        self.key = Some(match serde_json::to_value(key) {
            Ok(Value::String(text)) => text,
            Ok(Value::Number(number)) => number.to_string(),
            Ok(Value::Bool(value)) => value.to_string(),
            _ => return Err(Fault::new(JsonProblem::KeyNotText)),
        });
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        let key = self.key.take().ok_or_else(|| Fault::new(JsonProblem::KeyNotText))?;
        self.field(Cow::Owned(key), value)
    }

    fn end(self) -> Result<(), Fault> {
        self.finish()
    }
}

impl SerializeStruct for Object<'_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Fault> {
        self.field(Cow::Borrowed(key), value)
    }

    fn end(self) -> Result<(), Fault> {
        self.finish()
    }
}

impl SerializeStructVariant for Object<'_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Fault> {
        self.field(Cow::Borrowed(key), value)
    }

    fn end(self) -> Result<(), Fault> {
        self.finish()
    }
}
