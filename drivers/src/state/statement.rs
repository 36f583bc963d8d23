//! A materialiser in SQL, and what a guard in SQL is made of: statements with the fields of the arguments as named parameters.

use std::borrow::Cow;
use std::fmt;

use rusqlite::types::{Null, ValueRef};
use rusqlite::{CachedStatement, Connection, Statement};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::kept::Kept;
use super::tokens;

/// The mark of a materialiser's statements.
pub(super) const MATERIALISER: &str = "materialiser";
/// The mark of a guard's.
pub(super) const GUARD: &str = "guard";

/// Marks the text of somebody's statements, so that they don't share a prepared statement with queries, the store or one another: those
/// were authorised for somebody else.
pub(super) fn marked(sql: &str, mark: &str) -> String {
    format!("{sql}\n/* {mark} */")
}

/// All statements of an event.
pub(super) struct SqlMaterialiser {
    statements: Vec<SqlStatement>,
    /// The fields that are used, sorted.
    fields: Vec<String>,
    /// Whether it is done whole or not at all, without a transaction around it.
    whole: bool,
}

/// One of them.
pub(super) struct SqlStatement {
    sql: String,
    /// The sources of parameters 1, 2, and so on.
    parameters: SmallVec<[Source; 6]>,
}

#[derive(Clone, Copy)]
enum Source {
    Field(usize),
    Args,
}

/// What is wrong with a statement, and which it is, from 0.
pub(super) struct BadStatement {
    pub(super) index: usize,
    pub(super) error: Problem,
}

/// What is wrong with a statement.
pub(super) enum Problem {
    Sqlite(rusqlite::Error),
    Said(String),
}

impl SqlMaterialiser {
    /// Prepares every statement in a database that has the tables, as a materialiser.
    pub(super) fn check(conn: &Connection, on: &[String]) -> Result<Self, BadStatement> {
        let bad = |index, error| BadStatement { index, error };
        let mut names = Vec::new();
        for (index, sql) in on.iter().enumerate() {
            names.push(parameters(conn, sql).map_err(|error| bad(index, error))?);
        }
        let fields = fields(names.iter().flatten());
        let statements = on.iter().zip(&names).map(|(sql, names)| SqlStatement::new(marked(sql, MATERIALISER), names, &fields));
        let whole = matches!(on, [sql] if !tokens::may_stop_halfway(sql));
        Ok(Self { statements: statements.collect(), fields, whole })
    }

    /// Whether an event is applied whole or not at all, without a transaction around it: it is one statement, and no table says otherwise.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Runs the statements with the fields of these arguments.
    pub(super) fn run<'c>(&'c self, kept: &mut Kept<'c>, args: &str) -> Result<(), BadStatement> {
        let values = values(&self.fields, args).map_err(|said| BadStatement { index: 0, error: Problem::Said(said) })?;
        for (index, statement) in self.statements.iter().enumerate() {
            statement.run(kept, args, &values).map_err(|error| BadStatement { index, error: Problem::Sqlite(error) })?;
        }
        Ok(())
    }

    /// How many statements there are: alone, one need not be numbered in a message.
    pub(super) fn len(&self) -> usize {
        self.statements.len()
    }
}

/// These fields of the arguments, absent ones as NULL.
pub(super) fn values<'a>(fields: &[String], args: &'a str) -> Result<Values<'a>, String> {
    let mut values: Values<'a> = SmallVec::new();
    values.resize(fields.len(), Field::Null);
    if !fields.is_empty() && args.starts_with('{') {
        let mut read = |nested| {
            let fields = Fields { names: fields, values: &mut values, nested };
            let read = serde_json::Deserializer::from_str(args).deserialize_map(fields);
            read.map_err(|error| format!("the arguments are no JSON: {error}"))
        };
        if let Nested::Some = read(false)? {
            read(true)?;
        }
    }
    Ok(values)
}

/// The fields that parameters of these names ask for, sorted.
fn fields<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut fields: Vec<String> = names.filter(|name| *name != "args").cloned().collect();
    fields.sort_unstable();
    fields.dedup();
    fields
}

impl SqlStatement {
    fn new(sql: String, names: &[String], fields: &[String]) -> Self {
        let source = |name: &String| fields.binary_search(name).map_or(Source::Args, Source::Field);
        Self { sql, parameters: names.iter().map(source).collect() }
    }

    /// A guard's query, prepared once in a database that has the tables, and the fields that it uses.
    pub(super) fn question(conn: &Connection, sql: &str) -> Result<(Self, Vec<String>), Problem> {
        let statement = conn.prepare(sql).map_err(|error| match error {
            rusqlite::Error::MultipleStatement => Problem::Said("these are several statements: a guard is one query".to_owned()),
            error => Problem::Sqlite(error),
        })?;
        if statement.column_count() == 0 {
            return Err(Problem::Said(
                "it answers nothing: write a SELECT whose first column tells whether the guard holds".to_owned(),
            ));
        }
        let names = named(&statement)?;
        let fields = fields(names.iter());
        Ok((Self::new(marked(sql, GUARD), &names, &fields), fields))
    }

    /// What a guard's query answers: the first column of its first row.
    pub(super) fn ask<T>(
        &self,
        conn: &Connection,
        args: &str,
        values: &[Field<'_>],
        read: impl FnOnce(Option<ValueRef<'_>>) -> T,
    ) -> rusqlite::Result<T> {
        let mut statement = conn.prepare_cached(&self.sql)?;
        self.bind(&mut statement, args, values)?;
        let mut rows = statement.raw_query();
        let first = rows.next()?.map(|row| row.get_ref(0)).transpose()?;
        Ok(read(first))
    }

    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    fn run<'c>(&'c self, kept: &mut Kept<'c>, args: &str, values: &[Field<'_>]) -> rusqlite::Result<()> {
        let statement = kept.statement(self)?;
        self.bind(statement, args, values)?;
        statement.raw_execute().map(drop)
    }

    fn bind(&self, statement: &mut CachedStatement<'_>, args: &str, values: &[Field<'_>]) -> rusqlite::Result<()> {
        for (index, source) in self.parameters.iter().enumerate() {
            match source {
                Source::Args => statement.raw_bind_parameter(index + 1, args)?,
                Source::Field(field) => values[*field].bind(statement, index + 1)?,
            }
        }
        Ok(())
    }
}

/// The names of a statement's parameters, in order, without their colon.
fn parameters(conn: &Connection, sql: &str) -> Result<Vec<String>, Problem> {
    let said = |text: &str| Problem::Said(text.to_owned());
    if tokens::may_roll_back(sql) {
        return Err(said(
            "ROLLBACK would undo the commits of others: leave the conflict clause out, a failing event is refused anyway",
        ));
    }
    let statement = conn.prepare(sql).map_err(|error| match error {
        rusqlite::Error::MultipleStatement => said("these are several statements: make each an entry of its own"),
        error => Problem::Sqlite(error),
    })?;
    if statement.column_count() > 0 {
        return Err(said("nobody reads rows that a materialiser returns: leave out SELECT and RETURNING"));
    }
    named(&statement)
}

fn named(statement: &Statement<'_>) -> Result<Vec<String>, Problem> {
    let said = |text: &str| Problem::Said(text.to_owned());
    (1..=statement.parameter_count())
        .map(|index| match statement.parameter_name(index) {
            Some(name) if name.starts_with(':') => Ok(name[1..].to_owned()),
            Some(name) => Err(Problem::Said(format!("parameter {name}: write :{} for that field of the arguments", &name[1..]))),
            None => Err(said("parameter ?: write :name for the field `name` of the arguments, :args for all of them")),
        })
        .collect()
}

pub(super) type Values<'a> = SmallVec<[Field<'a>; 8]>;

/// A field as SQLite sees it.
#[derive(Clone)]
pub(super) enum Field<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(Cow<'a, str>),
}

impl Field<'_> {
    fn bind(&self, statement: &mut CachedStatement<'_>, index: usize) -> rusqlite::Result<()> {
        match self {
            Self::Null => statement.raw_bind_parameter(index, Null),
            Self::Integer(value) => statement.raw_bind_parameter(index, value),
            Self::Real(value) => statement.raw_bind_parameter(index, value),
            Self::Text(value) => statement.raw_bind_parameter(index, value.as_ref()),
        }
    }
}

/// Whether a wanted field is an object or an array: its text is only read once it is known that there is one.
enum Nested {
    None,
    Some,
}

/// Reads the wanted fields of an object, and skips the others: those that are not nested, or those that are.
struct Fields<'n, 'v, 'a> {
    names: &'n [String],
    values: &'v mut Values<'a>,
    nested: bool,
}

impl<'a> Visitor<'a> for Fields<'_, '_, 'a> {
    type Value = Nested;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Nested, A::Error> {
        let mut found = Nested::None;
        while let Some(field) = map.next_key_seed(Name(self.names))? {
            match field {
                Some(index) if self.nested => {
                    let raw: &'a RawValue = map.next_value()?;
                    if raw.get().starts_with(['{', '[']) {
                        self.values[index] = Field::Text(Cow::Borrowed(raw.get()));
                    }
                }
                Some(index) => match map.next_value_seed(Scalar)? {
                    Some(field) => self.values[index] = field,
                    None => found = Nested::Some,
                },
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

/// Reads a field; nothing of an object or an array.
struct Scalar;

impl<'de> DeserializeSeed<'de> for Scalar {
    type Value = Option<Field<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Scalar {
    type Value = Option<Field<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Some(Field::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(Field::Integer(value.into())))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(Field::Integer(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(i64::try_from(value).map_or(Field::Real(value as f64), Field::Integer)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(Field::Real(value)))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Field::Text(Cow::Borrowed(value))))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Some(Field::Text(Cow::Owned(value.to_owned()))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// Finds a key among the wanted ones, without keeping it.
struct Name<'n>(&'n [String]);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.binary_search_by(|name| name.as_str().cmp(key)).ok())
    }
}
