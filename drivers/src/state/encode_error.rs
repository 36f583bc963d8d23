//! Why something can't be committed, before anything is tried.

use std::sync::Arc;

use super::json::JsonError;

/// An event that can't be committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The schema has no event of this name.
    #[error("the schema has no event `{name}`{}", did_you_mean(.near))]
    UnknownEvent {
        /// The name.
        name: Arc<str>,
        /// Names in the schema that are close to it; all of them, if none is and they are few.
        near: Vec<Arc<str>>,
    },
    /// The arguments can't be said so that every peer reads the same.
    #[error("event `{event}`: in its arguments, {error}")]
    Args {
        /// The name of the event.
        event: Arc<str>,
        /// What is wrong, and where.
        error: JsonError,
    },
    /// The arguments are no JSON.
    #[error("event `{event}`: its arguments are no JSON: {message}")]
    Json {
        /// The name of the event.
        event: Arc<str>,
        /// What is wrong, with line and column.
        message: String,
    },
    /// JSON text has an integer that would be rounded.
    #[error(
        "event `{event}`: the integer {number} in its arguments is beyond ±(2^53 - 1), a JavaScript peer would not read it back exactly: send it as text"
    )]
    Oversized {
        /// The name of the event.
        event: Arc<str>,
        /// The integer.
        number: String,
    },
    /// The event's type and the schema don't agree on where it goes.
    #[error("event `{event}` is {} by its type, and not so in the schema: make them agree", if *.by_type { "client-only" } else { "synced" })]
    ClientOnlyDiffers {
        /// The name of the event.
        event: Arc<str>,
        /// Whether it is client-only by its type.
        by_type: bool,
    },
    /// The schema has no guard of this name.
    #[error("the schema has no guard `{name}`{}", did_you_mean(.near))]
    UnknownGuard {
        /// The name.
        name: Arc<str>,
        /// Names in the schema that are close to it; all of them, if none is and they are few.
        near: Vec<Arc<str>>,
    },
    /// The arguments of the guard can't be said.
    #[error("guard `{guard}`: its arguments: {message}")]
    GuardArgs {
        /// The name of the guard.
        guard: Arc<str>,
        /// What is wrong, and where.
        message: String,
    },
    /// Events that have a guard were put under another one.
    #[error("the commit is under two guards, `{first}` and `{second}`: a commit has one, put both conditions into it")]
    TwoGuards {
        /// The name of the one.
        first: Arc<str>,
        /// The name of the other.
        second: Arc<str>,
    },
}

/// How many names are shown.
const SHOWN: usize = 5;
/// How alike a name has to be, of 1.
const ALIKE: f64 = 0.6;

/// Those of the names that this one may be meant to be.
pub(super) fn near<'a>(names: impl Iterator<Item = &'a Arc<str>>, name: &str) -> Vec<Arc<str>> {
    let distance = |other: &str| strsim::normalized_damerau_levenshtein(&other.to_lowercase(), &name.to_lowercase());
    let mut names: Vec<(f64, &Arc<str>)> = names.map(|other| (distance(other), other)).collect();
    if names.iter().any(|(alike, _)| *alike >= ALIKE) {
        names.retain(|(alike, _)| *alike >= ALIKE);
    } else if names.len() > SHOWN {
        return Vec::new();
    }
    names.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    names.into_iter().take(SHOWN).map(|(_, name)| Arc::clone(name)).collect()
}

fn did_you_mean(names: &[Arc<str>]) -> String {
    match names {
        [] => ": add it there, or correct the name".to_owned(),
        [name] => format!(": did you mean `{name}`?"),
        names => format!(": did you mean one of `{}`?", names.join("`, `")),
    }
}
