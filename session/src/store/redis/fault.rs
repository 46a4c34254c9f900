//! Classifies failures: whether the command can be sent again, and which error the caller gets.
//!
//! Error texts of the client library can contain addresses, keys and arguments. Only safe parts reach the
//! caller: the server's error code and the kind of an I/O error.

use std::{borrow::Cow, error::Error, fmt, io, sync::Arc};

use redis::{ErrorKind, RedisError};

use crate::store::{
    StoreError,
    StoreErrorKind::{self, Corrupt, Full, Misconfigured, TimedOut, Unavailable},
};

/// The failure of a command. [`during`](Self::during) adds the operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    kind: StoreErrorKind,
    cause: Cause,
    /// Whether the command was certainly not executed.
    pub(super) not_executed: bool,
}

/// The cause that the error's source displays.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cause {
    /// The error code of the server: the first word of its reply.
    Server(&'static str),
    Io(io::ErrorKind),
    Text(Cow<'static, str>),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(code) => write!(f, "the server returned {code}"),
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
            cause: Cause::Text(Cow::Borrowed(text)),
            not_executed: false,
        }
    }

    /// Creates a fault with a text that contains no secret.
    pub(super) fn with_text(kind: StoreErrorKind, text: String) -> Self {
        Self {
            kind,
            cause: Cause::Text(Cow::Owned(text)),
            not_executed: false,
        }
    }

    pub(super) const TIMED_OUT: Self = Self::new(TimedOut, "no reply within the call timeout");

    /// The value under the key is not a record. It stays unchanged.
    pub(super) const FOREIGN: Self = Self {
        kind: Corrupt,
        cause: Cause::Text(Cow::Borrowed("the value was not written by this store")),
        not_executed: true,
    };

    /// The reply is not one that the command can have.
    pub(super) const UNEXPECTED: Self = Self::new(Unavailable, "the reply has an unexpected form");

    /// Converts the fault to the error of the operation `action`.
    pub(super) fn during(self, action: &'static str) -> StoreError {
        StoreError::new(self.kind, action).with_source(self.cause)
    }
}

/// The reaction to a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The server does not know the script. Send its text.
    SendText,
    /// The key is being moved to another node of the Cluster. Send this command to that node.
    Ask,
    /// The node is not, or no longer, responsible. Send the command again, outside a Cluster over a new
    /// connection.
    Elsewhere,
    /// The server cannot serve at the moment. Send the command again. A Cluster connection also returns this
    /// for commands in progress when it cannot refresh its list of nodes, so the command may have been executed.
    Wait,
    /// The connection broke. The command may have been executed.
    Lost,
    /// The command cannot succeed. Return the error.
    None,
}

/// The error codes of a server that need a specific reaction.
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
    // Snapshots fail, or too few replicas: the state lasts until an administrator repairs it.
    ("MISCONF", Remedy::None, Unavailable),
    ("NOREPLICAS", Remedy::None, Unavailable),
    ("WRONGTYPE", Remedy::None, Corrupt),
    ("OOM", Remedy::None, Full),
    ("NOAUTH", Remedy::None, Misconfigured),
    ("WRONGPASS", Remedy::None, Misconfigured),
    ("NOPERM", Remedy::None, Misconfigured),
    ("NOPROTO", Remedy::None, Misconfigured),
];

/// Server errors without a code of their own, by a part of their text.
static TEXTS: [(&str, Fault); 5] = [
    (
        "max number of clients",
        Fault::new(Unavailable, "the server has too many connections"),
    ),
    (
        "unknown command",
        Fault::new(Misconfigured, "the server lacks a required command"),
    ),
    ("DB index is out of range", NO_DATABASE),
    ("SELECT is not allowed", NO_DATABASE),
    (
        "cluster support disabled",
        Fault::new(Misconfigured, "the server is not part of a Cluster"),
    ),
];

const NO_DATABASE: Fault = Fault::new(Misconfigured, "the server has no database with that number");

const IN_A_CLUSTER: Fault = Fault::new(
    Misconfigured,
    "the server is part of a Cluster: connect with redis+cluster://",
);

const LOGIN_FAILED: Fault = Fault::new(
    Misconfigured,
    "the server refused the user name or the password",
);

const NO_TLS: Fault = Fault::new(
    Misconfigured,
    "the server's certificate is not trusted, or the server does not use TLS",
);

/// Classifies an error. `cluster` is whether the command was sent to a Cluster.
pub(super) fn classify(error: &RedisError, cluster: bool) -> (Remedy, Fault) {
    if error.is_timeout() {
        return (Remedy::None, Fault::TIMED_OUT);
    }
    let detail = error.detail().unwrap_or_default();
    if let Some(code) = error.code() {
        return classify_reply(code, detail, cluster);
    }
    // A Cluster connection that reached no node gives the reason only in the text.
    if error.kind() == ErrorKind::AuthenticationFailed
        || ["AuthenticationFailed", "NOAUTH", "NoAuth"]
            .iter()
            .any(|word| detail.contains(word))
    {
        return (Remedy::None, LOGIN_FAILED);
    }
    match error.kind() {
        // Reads and writes do not return this kind, so the error comes from rustls.
        ErrorKind::Io if io_kind(error) == Some(io::ErrorKind::InvalidData) => {
            (Remedy::Lost, NO_TLS)
        }
        ErrorKind::Io => {
            let fault = Fault {
                kind: Unavailable,
                cause: io_kind(error)
                    .map_or(Cause::Text(Cow::Borrowed("not connected")), Cause::Io),
                not_executed: false,
            };
            (Remedy::Lost, fault)
        }
        ErrorKind::ClusterConnectionNotFound => (
            Remedy::Lost,
            Fault::new(Unavailable, "no connection to that part of the Cluster"),
        ),
        // Later replies on this connection cannot be trusted either.
        ErrorKind::Parse => (Remedy::Lost, Fault::UNEXPECTED),
        ErrorKind::MasterNameNotFoundBySentinel => (
            Remedy::None,
            Fault::new(
                Unavailable,
                "the sentinels know no reachable master of that name",
            ),
        ),
        ErrorKind::InvalidClientConfig
        | ErrorKind::EmptySentinelList
        | ErrorKind::RESP3NotSupported => (
            Remedy::None,
            Fault::new(Misconfigured, "the URL or its options are invalid"),
        ),
        _ => (Remedy::None, Fault::UNEXPECTED),
    }
}

fn io_kind(error: &RedisError) -> Option<io::ErrorKind> {
    let source = error.source()?;
    // The client shares its sources, so the source is an `Arc`.
    let shared = source.downcast_ref::<Arc<dyn Error + Send + Sync>>();
    let error = match shared {
        Some(shared) => shared.downcast_ref::<io::Error>(),
        None => source.downcast_ref(),
    };
    error.map(io::Error::kind)
}

/// Classifies an error that a server returned.
fn classify_reply(code: &str, detail: &str, cluster: bool) -> (Remedy, Fault) {
    let known = |word: &str| CODES.iter().find(|(code, ..)| *code == word);
    // Redis 6 puts the code of a failure inside a script into the text.
    let hidden = || {
        detail
            .split(|c: char| !c.is_ascii_uppercase())
            .find_map(known)
    };
    let Some(&(code, remedy, kind)) = known(code).or_else(hidden) else {
        let text = TEXTS.iter().find(|(text, _)| detail.contains(text));
        // Other texts are not shown: they could contain a key, for example.
        let mut fault = text.map_or(
            Fault::new(Unavailable, "the server returned an error"),
            |(_, fault)| fault.clone(),
        );
        fault.not_executed = true;
        return (Remedy::None, fault);
    };
    if !cluster && matches!(code, "MOVED" | "ASK") {
        return (Remedy::None, IN_A_CLUSTER);
    }
    let fault = Fault {
        kind,
        cause: Cause::Server(code),
        not_executed: remedy != Remedy::Wait,
    };
    (remedy, fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn returned(line: &str, cluster: bool) -> (Remedy, StoreError) {
        let error = redis::parse_redis_value(format!("-{line}\r\n").as_bytes())
            .and_then(redis::Value::extract_error)
            .expect_err("the reply is an error");
        let (remedy, fault) = classify(&error, cluster);
        (remedy, fault.during("testing"))
    }

    #[test]
    fn each_server_error_has_a_remedy_and_a_kind() {
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
            let (actual, error) = returned(line, true);
            assert_eq!((actual, error.kind()), (remedy, kind), "{line}");
        }
        let (remedy, error) = returned("MOVED 3999 10.9.8.7:6381", false);
        assert_eq!((remedy, error.kind()), (Remedy::None, Misconfigured));
    }

    #[test]
    fn errors_do_not_show_addresses_or_keys() {
        for line in [
            "MOVED 3999 10.9.8.7:6381",
            "ERR unknown command 'EVALSHA', with args beginning with: '10.9.8.7'",
            "10.9.8.7 is an odd code",
        ] {
            let (_, error) = returned(line, true);
            assert!(
                !format!("{error} {error:?}").contains("10.9.8.7"),
                "{error:?}"
            );
        }
        let io = io::Error::other("cannot reach 10.9.8.7");
        let error = classify(&io.into(), false).1.during("testing");
        assert!(
            !format!("{error} {error:?}").contains("10.9.8.7"),
            "{error:?}"
        );
    }

    #[test]
    fn a_network_error_names_its_kind() {
        let error = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = classify(&error.into(), false).1.during("testing");
        assert_eq!(error.kind(), Unavailable);
        assert!(
            format!("{error:?}").contains("connection refused"),
            "{error:?}"
        );
    }

    #[test]
    fn a_lost_connection_does_not_mean_not_executed() {
        for (error, not_executed) in [
            (
                io::Error::from(io::ErrorKind::ConnectionReset).into(),
                false,
            ),
            (
                RedisError::from((ErrorKind::ClusterConnectionNotFound, "")),
                false,
            ),
        ] {
            let (remedy, fault) = classify(&error, true);
            assert_eq!((remedy, fault.not_executed), (Remedy::Lost, not_executed));
        }
        let timeout: RedisError = io::Error::from(io::ErrorKind::TimedOut).into();
        assert_eq!(classify(&timeout, true), (Remedy::None, Fault::TIMED_OUT));
    }
}
