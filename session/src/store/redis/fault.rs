//! What a failure means: whether the command can be sent again, and what the caller is told.
//!
//! What the client library says of a failure may contain addresses, keys and arguments. Only what is
//! known to be harmless is passed on: the server's error code, and the kind of an I/O error.

use std::{error::Error, fmt, io, sync::Arc};

use redis::{ErrorKind, RedisError};

use crate::store::{
    StoreError,
    StoreErrorKind::{self, Corrupt, Full, Misconfigured, TimedOut, Unavailable},
};

/// Why a command failed. It still lacks what was being done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    kind: StoreErrorKind,
    cause: Cause,
    /// The command has certainly changed nothing.
    pub(super) refused: bool,
}

/// The cause that an error shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The first word of the server's answer.
    Server(&'static str),
    Io(io::ErrorKind),
    Text(&'static str),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(code) => write!(f, "the server answered {code}"),
            Self::Io(kind) => kind.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Error for Cause {}

impl Fault {
    pub(super) const fn new(kind: StoreErrorKind, text: &'static str) -> Self {
        Self {
            kind,
            cause: Cause::Text(text),
            refused: false,
        }
    }

    pub(super) const TIMED_OUT: Self = Self::new(TimedOut, "no answer within the time limit");

    /// Something else lies under the key, and stays.
    pub(super) const FOREIGN: Self = Self {
        kind: Corrupt,
        cause: Cause::Text("the value was not written by this store"),
        refused: true,
    };

    /// The answer is not one that the command can have.
    pub(super) const NONSENSE: Self = Self::new(Unavailable, "the answer was not understood");

    /// The fault as the caller sees it, who asked for `action`.
    pub(super) fn during(self, action: &'static str) -> StoreError {
        StoreError::new(self.kind, action).with_source(self.cause)
    }
}

/// What can be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The server does not know the script: send its text.
    SendText,
    /// The key is on its way to another node of the Cluster: ask that one, this once.
    Ask,
    /// Refused by a node that is not in charge (any more): ask again, outside a Cluster over a new
    /// connection.
    Elsewhere,
    /// Unable to at the moment: ask again. A Cluster connection also says this to commands under way
    /// when it cannot find out about its nodes, so that it does not mean "not executed".
    Wait,
    /// The connection broke: the command was executed or not.
    Lost,
    /// Nothing.
    None,
}

/// The errors of a server that mean something to us, by their codes.
const CODES: [(&str, Remedy, StoreErrorKind); 17] = [
    ("NOSCRIPT", Remedy::SendText, Unavailable),
    ("ASK", Remedy::Ask, Unavailable),
    ("MOVED", Remedy::Elsewhere, Unavailable),
    ("TRYAGAIN", Remedy::Elsewhere, Unavailable),
    ("READONLY", Remedy::Elsewhere, Unavailable),
    ("CLUSTERDOWN", Remedy::Wait, Unavailable),
    ("MASTERDOWN", Remedy::Wait, Unavailable),
    ("LOADING", Remedy::Wait, Unavailable),
    ("BUSY", Remedy::Wait, Unavailable),
    // Snapshots fail, too few replicas: it stays so until somebody repairs it.
    ("MISCONF", Remedy::None, Unavailable),
    ("NOREPLICAS", Remedy::None, Unavailable),
    ("WRONGTYPE", Remedy::None, Corrupt),
    ("OOM", Remedy::None, Full),
    ("NOAUTH", Remedy::None, Misconfigured),
    ("WRONGPASS", Remedy::None, Misconfigured),
    ("NOPERM", Remedy::None, Misconfigured),
    ("NOPROTO", Remedy::None, Misconfigured),
];

/// Those that have no code of their own, by a part of the text.
const TEXTS: [(&str, Fault); 5] = [
    (
        "max number of clients",
        Fault::new(Unavailable, "the server has too many connections"),
    ),
    (
        "unknown command",
        Fault::new(Misconfigured, "the server lacks a command that is needed"),
    ),
    ("DB index is out of range", NO_DATABASE),
    ("SELECT is not allowed", NO_DATABASE),
    (
        "cluster support disabled",
        Fault::new(Misconfigured, "the server is not part of a Cluster"),
    ),
];

const NO_DATABASE: Fault = Fault::new(Misconfigured, "the server has no database of that number");

const IN_A_CLUSTER: Fault = Fault::new(
    Misconfigured,
    "the server is part of a Cluster: connect with redis+cluster://",
);

const NO_ENTRY: Fault = Fault::new(
    Misconfigured,
    "the server refused the user name or the password",
);

const NO_TLS: Fault = Fault::new(
    Misconfigured,
    "the server's certificate is not trusted, or it does not speak TLS",
);

/// What `error` means for the command that it answers, sent to a Cluster or not.
pub(super) fn judge(error: &RedisError, cluster: bool) -> (Remedy, Fault) {
    if error.is_timeout() {
        return (Remedy::None, Fault::TIMED_OUT);
    }
    let detail = error.detail().unwrap_or_default();
    if let Some(code) = error.code() {
        return refusal(code, detail, cluster);
    }
    // A Cluster connection that reached no node says why in the text alone.
    if error.kind() == ErrorKind::AuthenticationFailed
        || ["AuthenticationFailed", "NOAUTH", "NoAuth"]
            .iter()
            .any(|word| detail.contains(word))
    {
        return (Remedy::None, NO_ENTRY);
    }
    match error.kind() {
        // Reading and writing know no such error: it is rustls that speaks.
        ErrorKind::Io if io_kind(error) == Some(io::ErrorKind::InvalidData) => {
            (Remedy::Lost, NO_TLS)
        }
        ErrorKind::Io => {
            let fault = Fault {
                kind: Unavailable,
                cause: io_kind(error).map_or(Cause::Text("not connected"), Cause::Io),
                refused: false,
            };
            (Remedy::Lost, fault)
        }
        ErrorKind::ClusterConnectionNotFound => (
            Remedy::Lost,
            Fault::new(Unavailable, "no connection to that part of the Cluster"),
        ),
        // What comes after it on this connection cannot be trusted either.
        ErrorKind::Parse => (Remedy::Lost, Fault::NONSENSE),
        ErrorKind::MasterNameNotFoundBySentinel => (
            Remedy::None,
            Fault::new(
                Unavailable,
                "the sentinels know no living master of that name",
            ),
        ),
        ErrorKind::InvalidClientConfig
        | ErrorKind::EmptySentinelList
        | ErrorKind::RESP3NotSupported => (
            Remedy::None,
            Fault::new(Misconfigured, "the address or its options are not right"),
        ),
        _ => (Remedy::None, Fault::NONSENSE),
    }
}

fn io_kind(error: &RedisError) -> Option<io::ErrorKind> {
    let source = error.source()?;
    // The client shares its causes, and shows the `Arc` as the source.
    let shared = source.downcast_ref::<Arc<dyn Error + Send + Sync>>();
    let error = match shared {
        Some(shared) => shared.downcast_ref::<io::Error>(),
        None => source.downcast_ref(),
    };
    error.map(io::Error::kind)
}

/// What an error means that a server answered with.
fn refusal(code: &str, detail: &str, cluster: bool) -> (Remedy, Fault) {
    let known = |word: &str| CODES.iter().find(|(code, ..)| *code == word);
    // Redis 6 hides the code of a failure inside a script in the text.
    let hidden = || {
        detail
            .split(|c: char| !c.is_ascii_uppercase())
            .find_map(known)
    };
    let Some(&(code, remedy, kind)) = known(code).or_else(hidden) else {
        let text = TEXTS.iter().find(|(text, _)| detail.contains(text));
        // Any other text could contain anything, a key for example.
        let mut fault = text.map_or(
            Fault::new(Unavailable, "the server answered with an error"),
            |(_, fault)| fault.clone(),
        );
        fault.refused = true;
        return (Remedy::None, fault);
    };
    if !cluster && matches!(code, "MOVED" | "ASK") {
        return (Remedy::None, IN_A_CLUSTER);
    }
    let fault = Fault {
        kind,
        cause: Cause::Server(code),
        refused: remedy != Remedy::Wait,
    };
    (remedy, fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(line: &str, cluster: bool) -> (Remedy, StoreError) {
        let error = redis::parse_redis_value(format!("-{line}\r\n").as_bytes())
            .and_then(redis::Value::extract_error)
            .expect_err("the server answered with an error");
        let (remedy, fault) = judge(&error, cluster);
        (remedy, fault.during("testing"))
    }

    #[test]
    fn what_a_server_answers() {
        for (line, remedy, kind) in [
            (
                "NOSCRIPT No matching script.",
                Remedy::SendText,
                Unavailable,
            ),
            ("MOVED 3999 10.9.8.7:6381", Remedy::Elsewhere, Unavailable),
            ("ASK 3999 10.9.8.7:6381", Remedy::Ask, Unavailable),
            ("CLUSTERDOWN The cluster is down", Remedy::Wait, Unavailable),
            ("LOADING Redis is loading", Remedy::Wait, Unavailable),
            ("READONLY You can't write", Remedy::Elsewhere, Unavailable),
            (
                "@user_script: 14: -READONLY You can't write",
                Remedy::Elsewhere,
                Unavailable,
            ),
            ("OOM command not allowed", Remedy::None, Full),
            (
                "ERR Error running script (call to f_1): @user_script:14: OOM command not allowed",
                Remedy::None,
                Full,
            ),
            ("WRONGTYPE Operation against", Remedy::None, Corrupt),
            (
                "NOAUTH Authentication required.",
                Remedy::None,
                Misconfigured,
            ),
            ("NOPERM this user has no", Remedy::None, Misconfigured),
            ("ERR unknown command", Remedy::None, Misconfigured),
            (
                "ERR max number of clients reached",
                Remedy::None,
                Unavailable,
            ),
            ("NOTKNOWN whatever", Remedy::None, Unavailable),
        ] {
            let (did, error) = answered(line, true);
            assert_eq!((did, error.kind()), (remedy, kind), "{line}");
        }
        let (remedy, error) = answered("MOVED 3999 10.9.8.7:6381", false);
        assert_eq!((remedy, error.kind()), (Remedy::None, Misconfigured));
    }

    #[test]
    fn nothing_is_shown_that_names_a_server_or_a_key() {
        for line in [
            "MOVED 3999 10.9.8.7:6381",
            "ERR unknown command 'EVALSHA', with args beginning with: '10.9.8.7'",
            "10.9.8.7 is an odd code",
        ] {
            let (_, error) = answered(line, true);
            assert!(
                !format!("{error} {error:?}").contains("10.9.8.7"),
                "{error:?}"
            );
        }
        let io = io::Error::other("cannot reach 10.9.8.7");
        let error = judge(&io.into(), false).1.during("testing");
        assert!(
            !format!("{error} {error:?}").contains("10.9.8.7"),
            "{error:?}"
        );
    }

    #[test]
    fn what_the_network_did_is_named() {
        let error = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = judge(&error.into(), false).1.during("testing");
        assert_eq!(error.kind(), Unavailable);
        assert!(
            format!("{error:?}").contains("connection refused"),
            "{error:?}"
        );
    }

    #[test]
    fn only_what_was_refused_is_certain() {
        for (error, refused) in [
            (
                io::Error::from(io::ErrorKind::ConnectionReset).into(),
                false,
            ),
            (
                RedisError::from((ErrorKind::ClusterConnectionNotFound, "")),
                false,
            ),
        ] {
            let (remedy, fault) = judge(&error, true);
            assert_eq!((remedy, fault.refused), (Remedy::Lost, refused));
        }
        let timeout: RedisError = io::Error::from(io::ErrorKind::TimedOut).into();
        assert_eq!(judge(&timeout, true), (Remedy::None, Fault::TIMED_OUT));
    }
}
