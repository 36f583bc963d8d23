//! What a commit is guarded by: typed guards, or guards by name.

use std::sync::Arc;

use countersign_core::{Batch, Event, Guard};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::encode_error::{EncodeError, near};
use super::events::{NewEvent, ToEvents};
use super::json;
use super::schema::Schema;

/// A typed guard: its fields are the guard's arguments.
pub trait GuardType: Serialize + DeserializeOwned {
    /// The guard's name in the schema, such as `v1.SeatFree`.
    const NAME: &'static str;
}

/// A guard by name, for those who don't know its type.
#[derive(Clone, Debug, PartialEq)]
pub struct NewGuard {
    /// Its name in the schema.
    pub name: Arc<str>,
    /// Its arguments; `Null` if there are none.
    pub args: serde_json::Value,
}

impl NewGuard {
    /// A guard of this name, with these arguments.
    pub fn new(name: impl Into<Arc<str>>, args: serde_json::Value) -> Self {
        Self { name: name.into(), args }
    }

    /// A guard with arguments from JSON text.
    ///
    /// # Errors
    /// If the text is no JSON, has a key twice in one object, or an integer that would be rounded.
    pub fn parse(name: impl Into<Arc<str>>, args: &str) -> Result<Self, EncodeError> {
        let NewEvent { name, args } = NewEvent::parse(name, args).map_err(|error| match error {
            EncodeError::Json { event, message } => {
                EncodeError::GuardArgs { guard: event, message: format!("no JSON: {message}") }
            }
            EncodeError::Oversized { event, number } => EncodeError::GuardArgs {
                guard: event,
                message: format!("the integer {number} is beyond ±(2^53 - 1) and would be rounded: give it as text"),
            },
            other => other,
        })?;
        Ok(Self { name, args })
    }
}

/// What guards a commit: a typed guard, or a [`NewGuard`].
pub trait ToGuard {
    /// The guard in canonical form.
    ///
    /// # Errors
    /// If the schema has no such guard, or its arguments can't be said in JSON.
    fn to_guard(&self, schema: &Schema) -> Result<Guard, EncodeError>;
}

impl<T: GuardType> ToGuard for T {
    fn to_guard(&self, schema: &Schema) -> Result<Guard, EncodeError> {
        encode(schema, T::NAME, self)
    }
}

impl ToGuard for NewGuard {
    fn to_guard(&self, schema: &Schema) -> Result<Guard, EncodeError> {
        encode(schema, &self.name, &self.args)
    }
}

impl ToGuard for Guard {
    /// A guard in encoded form, as a close hands it back.
    fn to_guard(&self, schema: &Schema) -> Result<Guard, EncodeError> {
        NewGuard::parse(Arc::clone(&self.name), &self.args)?.to_guard(schema)
    }
}

/// Events under a guard: made by [`ToEvents::guarded`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarded<E, G> {
    /// What is committed.
    pub events: E,
    /// What has to hold for it.
    pub guard: G,
}

impl<E: ToEvents, G: ToGuard> ToEvents for Guarded<E, G> {
    fn to_events(&self, schema: &Schema) -> Result<Vec<Event>, EncodeError> {
        self.events.to_events(schema)
    }

    fn to_batch(&self, schema: &Schema) -> Result<Batch, EncodeError> {
        let Batch { events, guard } = self.events.to_batch(schema)?;
        let outer = self.guard.to_guard(schema)?;
        match guard {
            None => Ok(Batch { events, guard: Some(outer) }),
            Some(inner) => Err(EncodeError::TwoGuards { first: inner.name, second: outer.name }),
        }
    }
}

impl ToEvents for Batch {
    fn to_events(&self, schema: &Schema) -> Result<Vec<Event>, EncodeError> {
        self.events.to_events(schema)
    }

    fn to_batch(&self, schema: &Schema) -> Result<Batch, EncodeError> {
        let guard = self.guard.as_ref().map(|guard| guard.to_guard(schema)).transpose()?;
        Ok(Batch { events: self.events.to_events(schema)?, guard })
    }
}

fn encode(schema: &Schema, name: &str, args: &impl Serialize) -> Result<Guard, EncodeError> {
    let Some(name) = schema.guard_name(name) else {
        return Err(EncodeError::UnknownGuard { name: Arc::from(name), near: near(schema.guard_names(), name) });
    };
    let name = Arc::clone(name);
    match json::canonical(args) {
        Ok(args) => Ok(Guard { name, args }),
        Err(error) => Err(EncodeError::GuardArgs { guard: name, message: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct SeatFree {
        seat: u32,
        at: f64,
    }

    impl GuardType for SeatFree {
        const NAME: &'static str = "v1.SeatFree";
    }

    fn schema() -> Schema {
        let none: [&str; 0] = [];
        Schema::builder(1)
            .event_sql("v1.SeatTaken", false, none)
            .guard::<SeatFree>(|_, _| Ok(()))
            .guard_sql("v1.Open", "SELECT 1", None)
            .build()
            .unwrap()
    }

    fn taken() -> NewEvent {
        NewEvent::new("v1.SeatTaken", json!(null))
    }

    fn batch(events: impl ToEvents) -> Result<Batch, EncodeError> {
        events.to_batch(&schema())
    }

    #[test]
    fn a_guard_goes_with_whatever_a_commit_takes() {
        let guarded = batch(taken().guarded(SeatFree { seat: 7, at: 0.5 })).unwrap();
        assert_eq!((guarded.events.len(), &*guarded.guard.clone().unwrap().args), (1, r#"{"at":0.5,"seat":7}"#));
        assert_eq!(batch(guarded.clone()).unwrap(), guarded, "as it is handed back");
        assert_eq!(batch((taken(), taken())).unwrap().guard, None);
        assert_eq!(batch(().guarded(NewGuard::new("v1.Open", json!(null)))).unwrap().guard.unwrap().args.as_ref(), "null");
    }

    #[test]
    fn a_guard_that_can_not_be_said_says_why() {
        let fails = |guard: NewGuard| batch(taken().guarded(guard)).unwrap_err().to_string();
        assert_eq!(
            fails(NewGuard::new("v1.SeatFre", json!({}))),
            "the schema has no guard `v1.SeatFre`: did you mean `v1.SeatFree`?"
        );
        assert!(
            fails(NewGuard::new("v1.SeatFree", json!({"seat": 9_007_199_254_740_992_i64})))
                .starts_with("guard `v1.SeatFree`: its arguments: at seat: the integer 9007199254740992 is beyond")
        );
        let open = || NewGuard::new("v1.Open", json!(null));
        assert_eq!(
            batch(taken().guarded(open()).guarded(open())).unwrap_err().to_string(),
            "the commit is under two guards, `v1.Open` and `v1.Open`: a commit has one, put both conditions into it"
        );
        assert!(
            NewGuard::parse("v1.Open", "{").unwrap_err().to_string().starts_with("guard `v1.Open`: its arguments: no JSON: ")
        );
        let error = NewGuard::parse("v1.Open", "123456789012345678901234567890").unwrap_err();
        assert!(matches!(error, EncodeError::GuardArgs { .. }), "{error}");
    }
}
