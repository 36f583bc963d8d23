//! The serialiser behind [`super::json`].

use std::borrow::Cow;

use serde::Serialize;
use serde::ser::Serializer;
use serde_json::Value;

use super::compound::{Array, Object};
use super::json::{Fault, JsonProblem, SAFE_INTEGER};

/// `serde_json` reads 127 levels; deeper text could be written but not read again.
pub(super) const MAX_DEPTH: usize = 127;

/// How `serde_json` marks text that is JSON already.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// Writes canonical JSON.
pub(super) struct Canonical {
    pub(super) text: String,
    pub(super) depth: usize,
}

/// Room for the arguments of most events.
const ROOM: usize = 256;

impl Canonical {
    pub(super) fn new() -> Self {
        Self { text: String::with_capacity(ROOM), depth: 0 }
    }

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

    pub(super) fn string(&mut self, value: &str) {
        // Without a way out of the loop, it takes many bytes at a time.
        let is_plain = value.bytes().fold(true, |plain, byte| plain & (byte >= b' ') & (byte != b'"') & (byte != b'\\'));
        if is_plain {
            self.text.push('"');
            self.text.push_str(value);
            self.text.push('"');
        } else {
            self.text.push_str(&Value::from(value).to_string());
        }
    }

    pub(super) fn deeper(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(Fault::new(JsonProblem::TooDeep)) } else { Ok(()) }
    }

    fn array(&mut self) -> Result<Array<'_>, Fault> {
        self.deeper()?;
        self.text.push('[');
        Ok(Array::new(self))
    }

    fn object(&mut self) -> Result<Object<'_>, Fault> {
        self.deeper()?;
        self.text.push('{');
        Ok(Object::new(self))
    }

    /// `{"Variant":`, to be closed by [`Canonical::close_variant`].
    fn open_variant(&mut self, variant: &'static str) -> Result<(), Fault> {
        self.deeper()?;
        self.text.push('{');
        self.string(variant);
        self.text.push(':');
        Ok(())
    }

    pub(super) fn close_variant(&mut self) {
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
        Ok(self.array()?.of_variant())
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Object<'a>, Fault> {
        self.object()
    }

    fn serialize_struct(self, name: &'static str, _len: usize) -> Result<Object<'a>, Fault> {
        if name == RAW_VALUE {
            return Ok(Object::new(self).of_raw_text());
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
        Ok(self.object()?.of_variant())
    }
}
