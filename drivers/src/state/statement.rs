//! A materialiser in SQL: statements with the fields of the event's arguments as named parameters.

use std::borrow::Cow;
use std::fmt;

use rusqlite::types::Null;
use rusqlite::{CachedStatement, Connection};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::tokens;

/// Marks the text of a materialiser's statements, so that they don't share a prepared statement with queries or the store: those were
/// authorised for somebody else.
pub(super) fn marked(sql: &str) -> String {
    format!("{sql}\n/* materialiser */")
}

/// All statements of an event.
pub(super) struct SqlMaterialiser {
    statements: Vec<SqlStatement>,
    /// The fields that are used, sorted.
    fields: Vec<String>,
}

struct SqlStatement {
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
        let mut fields: Vec<String> = names.iter().flatten().filter(|name| *name != "args").cloned().collect();
        fields.sort_unstable();
        fields.dedup();
        let source = |name: &String| fields.binary_search(name).map_or(Source::Args, Source::Field);
        let statements = on.iter().zip(&names);
        let statements =
            statements.map(|(sql, names)| SqlStatement { sql: marked(sql), parameters: names.iter().map(source).collect() });
        Ok(Self { statements: statements.collect(), fields })
    }

    /// Runs the statements with the fields of these arguments.
    pub(super) fn run(&self, conn: &Connection, args: &str) -> Result<(), BadStatement> {
        let values = self.values(args).map_err(|said| BadStatement { index: 0, error: Problem::Said(said) })?;
        for (index, statement) in self.statements.iter().enumerate() {
            statement.run(conn, args, &values).map_err(|error| BadStatement { index, error: Problem::Sqlite(error) })?;
        }
        Ok(())
    }

    /// How many statements there are: alone, one need not be numbered in a message.
    pub(super) fn len(&self) -> usize {
        self.statements.len()
    }

    fn values<'a>(&self, args: &'a str) -> Result<Values<'a>, String> {
        let mut values: Values<'a> = SmallVec::new();
        values.resize(self.fields.len(), Field::Null);
        if !self.fields.is_empty() && args.starts_with('{') {
            let mut json = serde_json::Deserializer::from_str(args);
            json.deserialize_map(Fields { names: &self.fields, values: &mut values })
                .map_err(|error| format!("the arguments are no JSON: {error}"))?;
        }
        Ok(values)
    }
}

impl SqlStatement {
    fn run(&self, conn: &Connection, args: &str, values: &[Field<'_>]) -> rusqlite::Result<()> {
        let mut statement = conn.prepare_cached(&self.sql)?;
        for (index, source) in self.parameters.iter().enumerate() {
            match source {
                Source::Args => statement.raw_bind_parameter(index + 1, args)?,
                Source::Field(field) => values[*field].bind(&mut statement, index + 1)?,
            }
        }
        statement.raw_execute().map(drop)
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
    (1..=statement.parameter_count())
        .map(|index| match statement.parameter_name(index) {
            Some(name) if name.starts_with(':') => Ok(name[1..].to_owned()),
            Some(name) => Err(Problem::Said(format!("parameter {name}: write :{} for that field of the arguments", &name[1..]))),
            None => Err(said("parameter ?: write :name for the field `name` of the arguments, :args for all of them")),
        })
        .collect()
}

type Values<'a> = SmallVec<[Field<'a>; 8]>;

/// A field as SQLite sees it.
#[derive(Clone)]
enum Field<'a> {
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

impl<'a> Field<'a> {
    fn read(json: &'a str) -> serde_json::Result<Self> {
        Ok(match json.as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't') => Self::Integer(1),
            Some(b'f') => Self::Integer(0),
            Some(b'"') if !json.contains('\\') => Self::Text(Cow::Borrowed(&json[1..json.len() - 1])),
            Some(b'"') => Self::Text(Cow::Owned(serde_json::from_str(json)?)),
            Some(b'{' | b'[') => Self::Text(Cow::Borrowed(json)),
            _ => match json.parse() {
                Ok(integer) => Self::Integer(integer),
                Err(_) => Self::Real(serde_json::from_str(json)?),
            },
        })
    }
}

/// Reads the wanted fields of an object, and skips the others.
struct Fields<'n, 'v, 'a> {
    names: &'n [String],
    values: &'v mut Values<'a>,
}

impl<'a> Visitor<'a> for Fields<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(Name(self.names))? {
            match field {
                Some(index) => {
                    let raw: &'a RawValue = map.next_value()?;
                    self.values[index] = Field::read(raw.get()).map_err(serde::de::Error::custom)?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
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
