//! The serialiser behind [`super::json`].

use std::borrow::Cow;
use std::ops::Range;

use serde::Serialize;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
    SerializeTupleVariant, Serializer,
};
use serde_json::Value;

use super::json::{Fault, JsonProblem, SAFE_INTEGER};

/// `serde_json` reads 127 levels; deeper text could be written but not read again.
pub(super) const MAX_DEPTH: usize = 127;

/// How `serde_json` marks text that is JSON already.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// Writes canonical JSON.
#[derive(Default)]
pub(super) struct Canonical {
    text: String,
    depth: usize,
}

impl Canonical {
    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn integer(&mut self, value: i128) -> Result<(), Fault> {
        if value.unsigned_abs() > u128::from(SAFE_INTEGER.unsigned_abs()) {
            return Err(Fault::new(JsonProblem::IntegerTooLarge(value)));
        }
        self.text.push_str(&value.to_string());
        Ok(())
    }

    fn string(&mut self, value: &str) {
        if value.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
            self.text.push('"');
            self.text.push_str(value);
            self.text.push('"');
        } else {
            self.text.push_str(&Value::from(value).to_string());
        }
    }

    fn deeper(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(Fault::new(JsonProblem::TooDeep)) } else { Ok(()) }
    }

    fn array(&mut self) -> Result<Array<'_>, Fault> {
        self.deeper()?;
        self.text.push('[');
        Ok(Array { writer: self, count: 0, variant: false })
    }

    fn object(&mut self) -> Result<Object<'_>, Fault> {
        self.deeper()?;
        self.text.push('{');
        let start = self.text.len();
        Ok(Object { writer: self, start, entries: Vec::new(), key: None, variant: false, raw: false })
    }

    /// `{"Variant":`, to be closed by [`Canonical::close_variant`].
    fn open_variant(&mut self, variant: &'static str) -> Result<(), Fault> {
        self.deeper()?;
        self.text.push('{');
        self.string(variant);
        self.text.push(':');
        Ok(())
    }

    fn close_variant(&mut self) {
        self.depth -= 1;
        self.text.push('}');
    }
}

impl<'a> Serializer for &'a mut Canonical {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = Array<'a>;
    type SerializeTuple = Array<'a>;
    type SerializeTupleStruct = Array<'a>;
    type SerializeTupleVariant = Array<'a>;
    type SerializeMap = Object<'a>;
    type SerializeStruct = Object<'a>;
    type SerializeStructVariant = Object<'a>;

    fn serialize_bool(self, value: bool) -> Result<(), Fault> {
        self.text.push_str(if value { "true" } else { "false" });
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), Fault> {
        self.integer(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), Fault> {
        self.integer(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Fault> {
        self.integer(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Fault> {
        self.integer(value.into())
    }

    fn serialize_i128(self, value: i128) -> Result<(), Fault> {
        self.integer(value)
    }

    fn serialize_u8(self, value: u8) -> Result<(), Fault> {
        self.integer(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), Fault> {
        self.integer(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Fault> {
        self.integer(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Fault> {
        self.integer(value.into())
    }

    fn serialize_u128(self, value: u128) -> Result<(), Fault> {
        self.integer(i128::try_from(value).unwrap_or(i128::MAX))
    }

    fn serialize_f32(self, value: f32) -> Result<(), Fault> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Fault> {
        if !value.is_finite() {
            return Err(Fault::new(JsonProblem::NotFinite(value.to_string())));
        }
        self.text.push_str(ryu_js::Buffer::new().format_finite(value));
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Fault> {
        self.string(value.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<(), Fault> {
        self.string(value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Fault> {
        self.collect_seq(value)
    }

    fn serialize_none(self) -> Result<(), Fault> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Fault> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Fault> {
        self.text.push_str("null");
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Fault> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result<(), Fault> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Result<(), Fault> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        self.open_variant(variant)?;
        value.serialize(&mut *self).map_err(|fault| fault.in_field(Cow::Borrowed(variant)))?;
        self.close_variant();
        Ok(())
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Array<'a>, Fault> {
        self.array()
    }

    fn serialize_tuple(self, _len: usize) -> Result<Array<'a>, Fault> {
        self.array()
    }

    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<Array<'a>, Fault> {
        self.array()
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Array<'a>, Fault> {
        self.open_variant(variant)?;
        Ok(Array { variant: true, ..self.array()? })
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Object<'a>, Fault> {
        self.object()
    }

    fn serialize_struct(self, name: &'static str, _len: usize) -> Result<Object<'a>, Fault> {
        if name == RAW_VALUE {
            let start = self.text.len();
            return Ok(Object { writer: self, start, entries: Vec::new(), key: None, variant: false, raw: true });
        }
        self.object()
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Object<'a>, Fault> {
        self.open_variant(variant)?;
        Ok(Object { variant: true, ..self.object()? })
    }
}

/// An array being written.
pub(super) struct Array<'a> {
    writer: &'a mut Canonical,
    count: usize,
    variant: bool,
}

impl Array<'_> {
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
    entries: Vec<(Cow<'static, str>, Range<usize>)>,
    key: Option<String>,
    variant: bool,
    raw: bool,
}

impl Object<'_> {
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
