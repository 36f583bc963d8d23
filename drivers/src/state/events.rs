//! What `commit` takes: typed events, or events by name.

use std::sync::Arc;

use countersign_core::{Batch, Event};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::encode_error::{EncodeError, near};
use super::guarded::{Guarded, ToGuard};
use super::json;
use super::schema::Schema;
use super::strict::Strict;

/// A typed event: its fields are the event's arguments.
pub trait EventType: Serialize + DeserializeOwned {
    /// The event's name in the schema, such as `v1.TodoCreated`.
    const NAME: &'static str;
    /// Whether the event stays with this client.
    const CLIENT_ONLY: bool = false;
}

/// An event by name, for those who don't know its type.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// Its name in the schema.
    pub name: Arc<str>,
    /// Its arguments; `Null` if there are none.
    pub args: serde_json::Value,
}

impl NewEvent {
    /// An event of this name, with these arguments.
    pub fn new(name: impl Into<Arc<str>>, args: serde_json::Value) -> Self {
        Self { name: name.into(), args }
    }

    /// An event with arguments from JSON text.
    ///
    /// # Errors
    /// If the text is no JSON, has a key twice in one object, or an integer that would be rounded.
    pub fn parse(name: impl Into<Arc<str>>, args: &str) -> Result<Self, EncodeError> {
        let name = name.into();
        let parsed = serde_json::from_str(args);
        let Strict(value) = parsed.map_err(|error| EncodeError::Json { event: Arc::clone(&name), message: error.to_string() })?;
        match json::oversized_integer(args) {
            Some(number) => Err(EncodeError::Oversized { event: name, number: number.to_owned() }),
            None => Ok(Self { name, args: value }),
        }
    }
}

/// One event to commit: a typed one, or a [`NewEvent`].
pub trait ToEvent {
    /// The event in canonical form.
    ///
    /// # Errors
    /// If the schema has no such event, or its arguments can't be said in JSON that every peer reads back exactly.
    fn to_event(&self, schema: &Schema) -> Result<Event, EncodeError>;
}

/// What `commit` takes: one event, a tuple of up to eight, an array or a `Vec` of events, or `()` for an empty commit; and any of them
/// under a guard.
pub trait ToEvents {
    /// The events in canonical form, in order; without their guard, if they have one.
    ///
    /// # Errors
    /// As [`ToEvent::to_event`].
    fn to_events(&self, schema: &Schema) -> Result<Vec<Event>, EncodeError>;

    /// The events in canonical form, and their guard.
    ///
    /// # Errors
    /// As [`ToEvent::to_event`]; if the schema has no such guard.
    fn to_batch(&self, schema: &Schema) -> Result<Batch, EncodeError> {
        Ok(Batch::from(self.to_events(schema)?))
    }

    /// The same events, under a guard: they are committed only if it holds, and stay only as long as it does.
    ///
    /// It is checked before the first event, in the session when the commit is made, and by the leader whenever the commit comes onto
    /// another state than it was checked on: behind what other sessions have committed, after every rebase, after a restart too. When it
    /// no longer holds, the receipt fails with [`countersign_core::SyncError::Conflict`], the events are undone and in quarantine, and what
    /// came after goes on. Whatever the backend has confirmed stands exactly where its guard held. (Of a commit that is too large for one
    /// push, that is its first part: the rest is not checked again.)
    ///
    /// A guard that the schema does not have any more can't be checked: the commit then fails in the same way.
    ///
    /// ```
    /// use countersign::{CommitError, EventType, GuardType, ToEvents as _, Schema, Store};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct SeatTaken {
    ///     seat: u32,
    ///     guest: String,
    /// }
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct SeatFree {
    ///     seat: u32,
    /// }
    ///
    /// impl EventType for SeatTaken {
    ///     const NAME: &'static str = "v1.SeatTaken";
    /// }
    ///
    /// impl GuardType for SeatFree {
    ///     const NAME: &'static str = "v1.SeatFree";
    /// }
    ///
    /// let schema = Schema::builder(1)
    ///     .state_sql("CREATE TABLE seats (seat INTEGER PRIMARY KEY, guest TEXT NOT NULL) STRICT")
    ///     .event_sql(SeatTaken::NAME, false, ["INSERT OR REPLACE INTO seats (seat, guest) VALUES (:seat, :guest)"])
    ///     .guard::<SeatFree>(|db, SeatFree { seat }| {
    ///         let is_taken = db.exists("SELECT 1 FROM seats WHERE seat = ?", [seat])?;
    ///         if is_taken { Err(format!("seat {seat} is taken").into()) } else { Ok(()) }
    ///     })
    ///     .build()?;
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("seats.db");
    /// let store = Store::open(path).schema(schema).blocking()?;
    ///
    /// let take = |guest: &str| SeatTaken { seat: 7, guest: guest.to_owned() }.guarded(SeatFree { seat: 7 });
    /// store.commit(take("Anna"))?;
    /// let refused = store.commit(take("Ben"));
    /// assert!(matches!(refused, Err(CommitError::Conflict { message, .. }) if &*message == "seat 7 is taken"));
    /// // Had Ben been offline, on another computer: his commit would have been taken there, and its receipt have failed with
    /// // `SyncError::Conflict` as soon as Anna's event came before it.
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn guarded<G: ToGuard>(self, guard: G) -> Guarded<Self, G>
    where
        Self: Sized,
    {
        Guarded { events: self, guard }
    }
}

impl<T: EventType> ToEvent for T {
    fn to_event(&self, schema: &Schema) -> Result<Event, EncodeError> {
        let event = encode(schema, T::NAME, self)?;
        if event.client_only != T::CLIENT_ONLY {
            return Err(EncodeError::ClientOnlyDiffers { event: event.name, by_type: T::CLIENT_ONLY });
        }
        Ok(event)
    }
}

impl ToEvent for NewEvent {
    fn to_event(&self, schema: &Schema) -> Result<Event, EncodeError> {
        encode(schema, &self.name, &self.args)
    }
}

impl ToEvent for Event {
    /// An event in encoded form, as a close hands it back. Looked at like any other: anybody can make one.
    fn to_event(&self, schema: &Schema) -> Result<Event, EncodeError> {
        let by_type = self.client_only;
        let event = NewEvent::parse(Arc::clone(&self.name), &self.args)?.to_event(schema)?;
        if event.client_only != by_type {
            return Err(EncodeError::ClientOnlyDiffers { event: event.name, by_type });
        }
        Ok(event)
    }
}

impl<T: EventType> ToEvents for T {
    fn to_events(&self, schema: &Schema) -> Result<Vec<Event>, EncodeError> {
        Ok(vec![self.to_event(schema)?])
    }
}

impl ToEvents for NewEvent {
    fn to_events(&self, schema: &Schema) -> Result<Vec<Event>, EncodeError> {
        Ok(vec![self.to_event(schema)?])
    }
}

impl ToEvents for Event {
    fn to_events(&self, schema: &Schema) -> Result<Vec<Event>, EncodeError> {
        Ok(vec![self.to_event(schema)?])
    }
}

impl<E: ToEvent> ToEvents for Vec<E> {
    fn to_events(&self, schema: &Schema) -> Result<Vec<Event>, EncodeError> {
        self.iter().map(|event| event.to_event(schema)).collect()
    }
}

impl<E: ToEvent, const N: usize> ToEvents for [E; N] {
    fn to_events(&self, schema: &Schema) -> Result<Vec<Event>, EncodeError> {
        self.iter().map(|event| event.to_event(schema)).collect()
    }
}

impl ToEvents for () {
    fn to_events(&self, _schema: &Schema) -> Result<Vec<Event>, EncodeError> {
        Ok(Vec::new())
    }
}

macro_rules! tuples {
    ($($($name:ident)+;)+) => {$(
        impl<$($name: ToEvent),+> ToEvents for ($($name,)+) {
            fn to_events(&self, schema: &Schema) -> Result<Vec<Event>, EncodeError> {
                #[allow(non_snake_case)] // the type parameters name the fields
                let ($($name,)+) = self;
                Ok(vec![$($name.to_event(schema)?),+])
            }
        }
    )+};
}

tuples! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
}

fn encode(schema: &Schema, name: &str, args: &impl Serialize) -> Result<Event, EncodeError> {
    let Some(info) = schema.event(name) else {
        return Err(EncodeError::UnknownEvent { name: Arc::from(name), near: near(schema.event_names(), name) });
    };
    match json::canonical(args) {
        Ok(args) => Ok(Event { name: info.name, args, client_only: info.client_only }),
        Err(error) => Err(EncodeError::Args { event: info.name, error }),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::state::{JsonError, JsonProblem};

    #[derive(Serialize, Deserialize)]
    struct Added {
        n: i64,
        a: f64,
    }

    impl EventType for Added {
        const NAME: &'static str = "v1.Added";
    }

    #[derive(Serialize, Deserialize)]
    struct Shown;

    impl EventType for Shown {
        const NAME: &'static str = "v1.Shown";
        const CLIENT_ONLY: bool = true;
    }

    fn schema(shown_client_only: bool) -> Schema {
        let none: [&str; 0] = [];
        Schema::builder(1).event_sql("v1.Added", false, none).event_sql("v1.Shown", shown_client_only, none).build().unwrap()
    }

    fn names(events: impl ToEvents) -> Vec<String> {
        let events = events.to_events(&schema(true)).unwrap();
        events.iter().map(|event| format!("{} {} {}", event.name, event.args, event.client_only)).collect()
    }

    #[test]
    fn everything_that_a_commit_takes() {
        let added = r#"v1.Added {"a":0.5,"n":1} false"#;
        let shown = "v1.Shown null true";
        let one = || Added { n: 1, a: 0.5 };
        assert_eq!(names(one()), [added]);
        assert_eq!(names([one(), one()]), [added, added]);
        assert_eq!(names((one(), Shown, NewEvent::new("v1.Shown", json!(null)))), [added, shown, shown]);
        assert_eq!(names(vec![NewEvent::parse("v1.Added", r#"{"n":1,"a":5e-1}"#).unwrap()]), [added]);
        assert_eq!(names(()), [""; 0]);
        let given_back = one().to_events(&schema(true)).unwrap();
        assert_eq!(names(given_back), [added]);
        assert_eq!(names(NewEvent::new("v1.Shown", json!(null))), [shown]);
    }

    #[test]
    fn names_are_shared_with_the_schema() {
        let schema = schema(true);
        let events = [Shown, Shown].to_events(&schema).unwrap();
        assert!(Arc::ptr_eq(&events[0].name, &events[1].name));
    }

    #[test]
    fn what_can_not_be_committed_says_why() {
        let fails = |event: NewEvent| event.to_event(&schema(true)).unwrap_err().to_string();
        assert_eq!(fails(NewEvent::new("v1.added", json!({}))), "the schema has no event `v1.added`: did you mean `v1.Added`?");
        assert_eq!(
            fails(NewEvent::new("v1.Added", json!({"n": [1, 9_007_199_254_740_992_i64]}))),
            "event `v1.Added`: in its arguments, at n[1]: the integer 9007199254740992 is beyond ±(2^53 - 1), a JavaScript peer would not \
             read it back exactly: send it as text"
        );
        let error = Added { n: 1, a: f64::INFINITY }.to_event(&schema(true)).unwrap_err();
        assert!(
            matches!(error, EncodeError::Args { error: JsonError { problem: JsonProblem::NotFinite(_), .. }, .. }),
            "{error}"
        );
        let error = Shown.to_event(&schema(false)).unwrap_err();
        assert_eq!(error.to_string(), "event `v1.Shown` is client-only by its type, and not so in the schema: make them agree");
        assert!(matches!(NewEvent::parse("v1.Added", "{"), Err(EncodeError::Json { .. })));
        let error = NewEvent::parse("v1.Added", r#"{"n":123456789012345678901234567890}"#).unwrap_err();
        assert!(error.to_string().contains("123456789012345678901234567890"), "{error}");
    }
}
