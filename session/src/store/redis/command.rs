//! The commands of the store: `GETRANGE` to read, and one script per conditional write.
//!
//! A script is sent as its hash. A server that does not know the hash (a new server, one that was restarted,
//! a promoted replica) returns an error, and the store sends the script's text to it once.

use std::sync::LazyLock;

use redis::{Arg, Cmd};

use super::value;
use crate::{
    clock::Timestamp,
    random,
    store::{LockOwner, RecordClass, Version, Write},
};

/// A script and its hash.
pub(super) struct Script {
    text: &'static str,
    hash: String,
}

macro_rules! scripts {
    ($($name:ident = $file:literal;)+) => {
        $(static $name: LazyLock<Script> = LazyLock::new(|| {
            let text = concat!(include_str!("script/record.lua"), include_str!($file));
            let hash = redis::Script::new(text).get_hash().to_owned();
            Script { text, hash }
        });)+
    };
}

scripts! {
    CREATE = "script/create.lua";
    REPLACE = "script/replace.lua";
    TOUCH = "script/touch.lua";
    LOCK = "script/lock.lua";
    UNLOCK = "script/unlock.lua";
}

/// Whether a lease of a record stays when the record is replaced.
#[derive(Clone, Copy)]
pub(super) enum Lease {
    Stays,
    Ends,
}

/// Whether a server accepts a write when it is full (`maxmemory` with `noeviction`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenFull {
    /// Only if the value does not become larger.
    MayRefuse,
    /// In any case: the write ends a session or moves it to a new id.
    Accepts,
}

impl WhenFull {
    /// The reaction to a write of a record in place of another one.
    pub(super) fn of(write: &Write) -> Self {
        if write.class == RecordClass::Retired {
            Self::Accepts
        } else {
            Self::MayRefuse
        }
    }
}

/// A command on one key.
pub(super) struct Command {
    cmd: Cmd,
    script: Option<&'static Script>,
}

/// The places of the key among the arguments, without and with a script.
const KEY: usize = 1;
const KEY_OF_SCRIPT: usize = 3;

impl Command {
    /// Reads the value, up to one byte more than the largest valid size. A missing value reads as empty.
    pub(super) fn get(key: &[u8]) -> Self {
        let mut command = Self::plain("GETRANGE", key);
        command.cmd.arg(0).arg(value::LARGEST);
        command
    }

    /// Removes the key and its value of any type.
    pub(super) fn unlink(key: &[u8]) -> Self {
        Self::plain("UNLINK", key)
    }

    /// Writes a record if no live one exists. Returns 1, or 0 if one exists.
    pub(super) fn create(
        key: &[u8],
        version: Version,
        write: &Write,
        when_full: WhenFull,
        now: Timestamp,
    ) -> Self {
        Self::write(&CREATE, key, version, write, when_full, now)
    }

    /// Writes the record if its version is `expected`. Returns 1, 0 if no live record exists, or the value
    /// of the current record. `lease` is whether a lease of the record stays.
    pub(super) fn replace(
        key: &[u8],
        expected: Version,
        version: Version,
        write: &Write,
        lease: Lease,
        when_full: WhenFull,
        now: Timestamp,
    ) -> Self {
        let mut command = Self::write(&REPLACE, key, version, write, when_full, now);
        command.arg(expected.get().to_be_bytes());
        command.arg(match lease {
            Lease::Stays => b"1",
            Lease::Ends => b"0",
        });
        command
    }

    /// Moves the expiry to a later time if the version is `expected`. Returns 1, or 0 if it is not.
    pub(super) fn touch(
        key: &[u8],
        expected: Version,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Self {
        let mut command = Self::script(&TOUCH, key, now.as_millis(), 0);
        command.arg(expected.get().to_be_bytes());
        command.arg(expires_at.as_millis().to_be_bytes());
        command.cmd.arg(value::ttl(expires_at, now));
        command
    }

    /// Acquires or extends the lease. Returns 1, 0 if no live record exists, or 2 if another owner holds it.
    pub(super) fn lock(key: &[u8], owner: LockOwner, until: Timestamp, now: Timestamp) -> Self {
        let mut command = Self::script(&LOCK, key, now.as_millis(), 0);
        command.arg(value::owner(owner));
        command.arg(until.as_millis().to_be_bytes());
        command.arg(random::bytes::<4>());
        command
    }

    /// Releases the lease. Returns 1, or 0 if `owner` does not hold it.
    pub(super) fn unlock(key: &[u8], owner: LockOwner) -> Self {
        let mut command = Self::script(&UNLOCK, key, 0, 0);
        command.arg(value::owner(owner));
        command
    }

    /// Returns the key.
    pub(super) fn key(&self) -> &[u8] {
        let place = self.script.map_or(KEY, |_| KEY_OF_SCRIPT);
        match self.cmd.args_iter().nth(place) {
            Some(Arg::Simple(key)) => key,
            _ => unreachable!("each command has a key"),
        }
    }

    /// Returns the command to send.
    pub(super) fn cmd(&self) -> &Cmd {
        &self.cmd
    }

    /// Returns the command with the script's text in place of its hash, or `None` if it is not a script.
    pub(super) fn with_text(&self) -> Option<Cmd> {
        let script = self.script?;
        let mut cmd = redis::cmd("EVAL");
        cmd.arg(script.text);
        for arg in self.cmd.args_iter().skip(2) {
            if let Arg::Simple(bytes) = arg {
                cmd.arg(bytes);
            }
        }
        Some(cmd)
    }

    fn plain(name: &str, key: &[u8]) -> Self {
        let mut cmd = Cmd::with_capacity(2, name.len() + key.len());
        cmd.arg(name).arg(key);
        Self { cmd, script: None }
    }

    fn script(script: &'static Script, key: &[u8], now: u64, data: usize) -> Self {
        // Besides the key, the hash and the data there are eight arguments of at most 24 bytes.
        let mut cmd = Cmd::with_capacity(11, 7 + script.hash.len() + key.len() + data + 8 * 24);
        cmd.arg("EVALSHA")
            .arg(&script.hash)
            .arg(1)
            .arg(key)
            .arg(now);
        Self {
            cmd,
            script: Some(script),
        }
    }

    fn write(
        script: &'static Script,
        key: &[u8],
        version: Version,
        write: &Write,
        when_full: WhenFull,
        now: Timestamp,
    ) -> Self {
        let mut command = Self::script(script, key, now.as_millis(), write.data.len());
        command.arg(value::header(version, write.expires_at));
        command.arg(&*write.data);
        command.cmd.arg(value::ttl(write.expires_at, now));
        command.arg(match when_full {
            WhenFull::MayRefuse => b"0",
            WhenFull::Accepts => b"1",
        });
        command
    }

    /// Adds one argument. `Cmd::arg` would add each byte of an array as an argument.
    fn arg(&mut self, bytes: impl AsRef<[u8]>) {
        self.cmd.arg(bytes.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_has_the_same_arguments_by_hash_and_by_text() {
        let now = Timestamp::from_millis(5);
        let write = Write::new(&b"\0data\r\n"[..], Timestamp::from_millis(1005));
        let command = Command::create(b"key", Version::FIRST, &write, WhenFull::Accepts, now);
        let args = |cmd: &Cmd| -> Vec<Vec<u8>> {
            cmd.args_iter()
                .map(|arg| match arg {
                    Arg::Simple(bytes) => bytes.to_vec(),
                    _ => panic!("only bytes are sent"),
                })
                .collect()
        };
        let (by_hash, by_text) = (args(command.cmd()), args(&command.with_text().unwrap()));
        assert_eq!(by_hash[0], b"EVALSHA");
        assert_eq!(by_hash[1], CREATE.hash.as_bytes());
        assert_eq!(by_text[0], b"EVAL");
        assert_eq!(by_text[1], CREATE.text.as_bytes());
        assert_eq!(by_hash[2..], by_text[2..]);
        assert_eq!(by_hash[2..5], [&b"1"[..], b"key", b"5"]);
        assert_eq!(by_hash[6..], [&b"\0data\r\n"[..], b"1000", b"1"]);
        assert!(Command::get(b"key").with_text().is_none());
        assert_eq!(command.key(), b"key");
        assert_eq!(Command::get(b"key").key(), b"key");
    }
}
