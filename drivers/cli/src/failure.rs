//! Why a command can't go on: what, where and what to do, and the status to exit with.

use std::fmt;
use std::io;
use std::path::Path;

use countersign::backend::BackendOpenError;
use countersign::core;
use countersign::server::StartError;
use countersign::{
    CommitError, CommitId, EncodeError, Event, FailureError, Guard, LookupError, OpenError, ReadError, SchemaError,
};
use serde::Serialize;

use crate::exit::Exit;

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// Why a command ends.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nobody reads the output any more: no failure to speak of.
    OutputClosed,
    /// Something that has to be said.
    Said(Box<Said>),
}

/// Something that went wrong, as it is said.
#[derive(Debug, Serialize)]
pub(crate) struct Said {
    /// A short name for programs.
    pub(crate) code: &'static str,
    /// For people.
    pub(crate) message: String,
    #[serde(rename = "status", serialize_with = "status")]
    pub(crate) exit: Exit,
    /// The line of the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u64>,
    /// The commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) commit: Option<CommitId>,
    /// Events that are nowhere else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) events: Vec<Event>,
    /// Their guard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) guard: Option<Guard>,
}

impl Said {
    pub(crate) fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), exit, line: None, commit: None, events: Vec::new(), guard: None }
    }

    /// Names the line of the input, and what became of the lines before it.
    pub(crate) fn at_line(mut self, line: u64, committed: u64) -> Self {
        let before = match committed {
            0 => "nothing was committed".to_owned(),
            1 => "the commit before it is stored".to_owned(),
            n => format!("the {n} commits before it are stored"),
        };
        self.message = format!("line {line}: {}; {before}", self.message);
        self.line = Some(line);
        self
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn status<S: serde::Serializer>(exit: &Exit, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_u8(exit.status())
}

impl Failure {
    pub(crate) fn input(code: &'static str, message: impl Into<String>) -> Self {
        Said::new(Exit::Input, code, message).into()
    }

    pub(crate) fn machine(code: &'static str, message: impl Into<String>) -> Self {
        Said::new(Exit::Machine, code, message).into()
    }

    /// A file that a user has named can't be read.
    pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Self {
        let advice = match error.kind() {
            io::ErrorKind::NotFound => "check the path",
            io::ErrorKind::PermissionDenied => "let this user read it",
            io::ErrorKind::InvalidData => "it has to be text in UTF-8",
            _ => "check the file",
        };
        Self::input("unreadable", format!("{}: can't be read ({error}): {advice}", path.display()))
    }
}

impl From<Said> for Failure {
    fn from(said: Said) -> Self {
        Self::Said(Box::new(said))
    }
}

/// Writing to standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::machine("output", format!("the output can't be written: {error}")),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let (exit, code) = match &error {
            OpenError::Missing { .. } => (Exit::Input, "no_store"),
            OpenError::Exists { .. } => (Exit::Input, "exists"),
            OpenError::NotAStore { .. } => (Exit::Input, "not_a_store"),
            OpenError::Schema { .. } => (Exit::Input, "schema"),
            OpenError::NotWritable { .. } => (Exit::Machine, "not_writable"),
            OpenError::Locked { .. } => (Exit::Machine, "locked"),
            OpenError::NewerFormat { .. } => (Exit::Machine, "newer_format"),
            OpenError::Corrupt { .. } => (Exit::Machine, "corrupt"),
            OpenError::Backend { .. } => (Exit::Machine, "backend"),
            _ => (Exit::Machine, "storage"),
        };
        Said::new(exit, code, error.to_string()).into()
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let (exit, code) = match &error {
            ReadError::NotReadOnly { .. } => (Exit::Input, "not_read_only"),
            ReadError::Sql { .. } => (Exit::Input, "sql"),
            _ => (Exit::Machine, "storage"),
        };
        Said::new(exit, code, error.to_string()).into()
    }
}

impl From<BackendOpenError> for Failure {
    fn from(error: BackendOpenError) -> Self {
        let (exit, code) = match &error {
            BackendOpenError::NotALog { .. } | BackendOpenError::Missing { .. } => (Exit::Input, "not_a_backend"),
            BackendOpenError::Newer { .. } => (Exit::Machine, "newer_format"),
            BackendOpenError::Damaged { .. } => (Exit::Machine, "corrupt"),
            _ => (Exit::Machine, "backend"),
        };
        Said::new(exit, code, error.to_string()).into()
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let (exit, code) = match &error {
            StartError::NoAccess => {
                let message = "nothing says who may come in: give --tokens FILE, or say --no-auth to let everybody in who can reach \
                               the address";
                return Self::input("no_access", message);
            }
            StartError::Tokens(_) => (Exit::Input, "tokens"),
            StartError::Tls { .. } => (Exit::Input, "tls"),
            StartError::Limit { .. } => (Exit::Input, "limit"),
            StartError::Locked { .. } => (Exit::Machine, "locked"),
            StartError::Listen { .. } => (Exit::Machine, "listen"),
            _ => (Exit::Machine, "serve"),
        };
        Said::new(exit, code, error.to_string()).into()
    }
}

impl From<LookupError> for Failure {
    fn from(error: LookupError) -> Self {
        Self::machine("storage", error.to_string())
    }
}

impl From<FailureError> for Failure {
    fn from(error: FailureError) -> Self {
        let (exit, code) = match &error {
            FailureError::Commit(error) => return said(error).into(),
            FailureError::Unknown { .. } => (Exit::Input, "unknown_commit"),
            FailureError::Queued { .. } => (Exit::Input, "queued"),
            FailureError::Confirmed { .. } => (Exit::Input, "confirmed"),
            FailureError::Discarded { .. } => (Exit::Input, "discarded"),
            FailureError::Retried { .. } => (Exit::Input, "retried"),
            FailureError::MayDuplicate { id } => {
                let message = format!(
                    "the backend may hold the events of commit {id} all the same, so to commit them again may duplicate them: give \
                     --may-duplicate if that does no harm, or `countersign sync` first, which may tell"
                );
                return Said { commit: Some(*id), ..Said::new(Exit::Input, "may_duplicate", message) }.into();
            }
            _ => (Exit::Machine, "storage"),
        };
        Said::new(exit, code, error.to_string()).into()
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        said(&error).into()
    }
}

/// A commit that was not taken.
pub(crate) fn said(error: &CommitError) -> Said {
    use core::CommitError as Core;
    let (exit, code) = match error {
        CommitError::Encode(error) => return encode(error),
        CommitError::Materialise { .. } => (Exit::Input, "materialise"),
        CommitError::Conflict { .. } => (Exit::Failed, "conflict"),
        CommitError::GuardArgs { .. } => (Exit::Input, "guard_args"),
        CommitError::Refused(Core::EventTooLarge { .. } | Core::CommitTooLarge { .. }) => (Exit::Input, "too_large"),
        CommitError::Refused(Core::Full { .. } | Core::PendingTooLong { .. }) => (Exit::Pending, "full"),
        CommitError::Refused(Core::StorageBroken { .. }) => (Exit::Machine, "corrupt"),
        _ => (Exit::Machine, "storage"),
    };
    Said::new(exit, code, error.to_string())
}

/// An event that can't be said.
pub(crate) fn encode(error: &EncodeError) -> Said {
    let code = match error {
        EncodeError::UnknownEvent { .. } => "unknown_event",
        EncodeError::UnknownGuard { .. } => "unknown_guard",
        EncodeError::GuardArgs { .. } => "guard_args",
        EncodeError::Oversized { .. } => "integer_too_large",
        EncodeError::Json { .. } => "json",
        _ => "args",
    };
    Said::new(Exit::Input, code, error.to_string())
}

/// A schema file that can't be used.
pub(crate) fn schema(path: &Path, error: &SchemaError) -> Failure {
    let exit = if matches!(error, SchemaError::Trouble(_)) { Exit::Machine } else { Exit::Input };
    Said::new(exit, "schema", format!("{}: {error}", path.display())).into()
}
