//! What a server says when it does not do what it was asked, in the classes of [`BackendFailure`].

use countersign_core::BackendFailure;

use super::super::protocol::{Cause, DecodeError, Fail, Ours, Problem};

/// More of what a server says is of no use to anybody.
const MESSAGE_CHARS: usize = 600;

/// What was asked for, as far as it changes what a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// For events: nothing can have been applied.
    Pull,
    /// To take events: a lost answer leaves open whether it did.
    Push,
}

/// The transport is in trouble.
pub(crate) fn unreachable(message: impl AsRef<str>, maybe_applied: bool) -> BackendFailure {
    BackendFailure::Unreachable { message: clip(message.as_ref()).into(), maybe_applied }
}

/// The beginning of a long text.
pub(crate) fn clip(text: &str) -> String {
    match text.char_indices().nth(MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn unknown(message: impl AsRef<str>) -> BackendFailure {
    BackendFailure::Unknown { message: clip(message.as_ref()).into() }
}

/// A call that failed. The first no that can be understood counts; being cancelled explains the least.
pub(super) fn of_causes(causes: &[Cause], asked: Asked) -> BackendFailure {
    let fails = || causes.iter().filter_map(|cause| if let Cause::Fail(fail) = cause { Some(fail) } else { None });
    let typed = fails().find(|fail| !matches!(fail, Fail::Unknown { ours: None, .. }));
    if let Some(fail) = typed.or_else(|| fails().next()) {
        return of_fail(fail, asked);
    }
    let said = causes.iter().find_map(|cause| match cause {
        Cause::Die(message) | Cause::Unknown(message) => Some(message),
        Cause::Fail(_) | Cause::Interrupt => None,
    });
    match said {
        Some(message) => unknown(message),
        None => unreachable("the backend cancelled the call", asked == Asked::Push),
    }
}

fn of_fail(fail: &Fail, asked: Asked) -> BackendFailure {
    match fail {
        Fail::ServerAhead { minimum_expected, provided } => match u64::try_from(*minimum_expected) {
            Ok(head) => BackendFailure::ServerAhead { head },
            Err(_) => unknown(format!("the backend says that its head is {minimum_expected}, and was given {provided}")),
        },
        Fail::BackendIdMismatch { expected, .. } => BackendFailure::Identity { theirs: expected.clone() },
        Fail::Unknown { ours: Some(Ours::NeedsAuth(message)), .. } => BackendFailure::NeedsAuth { message: clip(message).into() },
        Fail::Unknown { ours: Some(Ours::Refused(events)), .. } if asked == Asked::Push => {
            BackendFailure::Refused { events: events.iter().map(|(i, why)| (*i, clip(why).into())).collect() }
        }
        Fail::Unknown { message, .. } => unknown(message),
    }
}

/// A failure that names no call.
pub(super) fn of_defect(message: &str) -> BackendFailure {
    unknown(format!("the backend could not read what it was sent: {message}"))
}

/// An answer that can't be read. Noise is the transport's; an answer of the wrong shape is the backend's.
pub(super) fn of_unreadable(error: &DecodeError, asked: Asked) -> BackendFailure {
    let message = format!("the backend's answer can't be read: {error}");
    match (asked, &error.problem) {
        // It may well have said that it took the events.
        (Asked::Push, _) => unreachable(message, true),
        (Asked::Pull, Problem::NotText(_) | Problem::NotJson(_)) => unreachable(message, false),
        (Asked::Pull, _) => unknown(message),
    }
}

/// An HTTP status in the place of an answer or an upgrade. `sent` says whether a push had been handed over.
pub(crate) fn of_status(status: u16, body: &str, sent: bool) -> BackendFailure {
    let said = match clip(body.trim()) {
        text if text.is_empty() => String::new(),
        text => format!(": {text}"),
    };
    match status {
        400 | 401 | 403 => BackendFailure::NeedsAuth { message: format!("the server answered {status}{said}").into() },
        200..=299 => {
            let what = "which is no answer of a sync server: is this its address, and does it know this store and payload?";
            unreachable(format!("the server answered {status}, {what}{said}"), sent)
        }
        300..=399 => {
            let to = body.trim().split(['?', '#']).next().map(clip).unwrap_or_default();
            let to = if to.is_empty() { String::new() } else { format!(" ({to})") };
            let what = "another address, and is not followed there with what it must not be told: use that address";
            unreachable(format!("the server answered {status}: it points to {what}{to}"), sent)
        }
        414 | 431 => {
            let what = "the token, the payload or the headers are too long for it: use shorter ones";
            unreachable(format!("the server answered {status}: {what}{said}"), false)
        }
        // Whoever refuses a request with one of these has not carried it out.
        404 | 405 | 413 | 421 | 424 | 426 | 429 => unreachable(format!("the server answered {status}{said}"), false),
        _ => unreachable(format!("the server answered {status}{said}"), sent),
    }
}
