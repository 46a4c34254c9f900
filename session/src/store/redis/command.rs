//! The commands that are sent: a `GETRANGE` to read, and one script for each conditional write.
//!
//! A script travels as its hash. A server that does not know it (a new one, one after a restart, a
//! replica that was promoted) says so and is sent the text once, by the same route.

use std::sync::LazyLock;

use bytes::Bytes;
use redis::{Arg, Cmd};

use super::value;
use crate::{
    clock::Timestamp,
    store::{LockOwner, Version, Write},
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
    DELETE = "script/delete.lua";
    LOCK = "script/lock.lua";
    UNLOCK = "script/unlock.lua";
}

/// One command on one key.
pub(super) struct Command {
    cmd: Cmd,
    script: Option<&'static Script>,
}

impl Command {
    /// Reads the value, no more of it than shows that it is too large. Where there is none it is empty.
    pub(super) fn get(key: &[u8]) -> Self {
        let mut command = Self::plain("GETRANGE", key);
        command.cmd.arg(0).arg(value::LARGEST);
        command
    }

    /// Removes the key, whatever is in it.
    pub(super) fn unlink(key: &[u8]) -> Self {
        Self::plain("UNLINK", key)
    }

    /// Writes a record where no live one is: answers 1, or 0 if one is there.
    pub(super) fn create(key: &[u8], version: Version, write: &Write, now: Timestamp) -> Self {
        let ttl = value::ttl(write.expires_at, now);
        Self::write(&CREATE, key, version, write, ttl, now)
    }

    /// Writes the record if the version is `expected`: answers 1, 0 if no live record is there, or the
    /// value that is. A lease of the record stays.
    pub(super) fn replace(
        key: &[u8],
        expected: Version,
        version: Version,
        write: &Write,
        now: Timestamp,
    ) -> Self {
        let ttl = value::ttl(write.expires_at, now);
        let mut command = Self::write(&REPLACE, key, version, write, ttl, now);
        command.arg(expected.get().to_be_bytes());
        command.arg(b"1");
        command
    }

    /// Ends the record and its lease if the version is `expected`, leaving `leave` or nothing: answers as
    /// `replace`.
    ///
    /// Nothing is a record that has ended already. The server keeps it for longer than any command is sent
    /// again for, so that this one, sent again, finds its own work.
    pub(super) fn leave(
        key: &[u8],
        expected: Version,
        version: Version,
        leave: Option<&Write>,
        now: Timestamp,
    ) -> Self {
        const KEPT: u64 = 30_000;

        let nothing = Write::new(Bytes::new(), Timestamp::from_millis(0));
        let ttl = leave.map_or(KEPT, |leave| value::ttl(leave.expires_at, now));
        let leave = leave.unwrap_or(&nothing);
        let mut command = Self::write(&REPLACE, key, version, leave, ttl, now);
        command.arg(expected.get().to_be_bytes());
        command.arg(b"0");
        command
    }

    /// Moves the expiry on if the version is `expected`: answers 1, or 0 if it is not.
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

    /// Ends a live record: answers 1, or 0 if none is there.
    pub(super) fn delete(key: &[u8], now: Timestamp) -> Self {
        Self::script(&DELETE, key, now.as_millis(), 0)
    }

    /// Takes or prolongs the lease: answers 1, 0 if no live record is there, or 2 if another holds it.
    pub(super) fn lock(key: &[u8], owner: LockOwner, until: Timestamp, now: Timestamp) -> Self {
        let mut command = Self::script(&LOCK, key, now.as_millis(), 0);
        command.arg(value::owner(owner));
        command.arg(until.as_millis().to_be_bytes());
        command.arg(rand::random::<[u8; 4]>());
        command
    }

    /// Gives the lease back: answers 1, or 0 if `owner` does not hold it.
    pub(super) fn unlock(key: &[u8], owner: LockOwner) -> Self {
        let mut command = Self::script(&UNLOCK, key, 0, 0);
        command.arg(value::owner(owner));
        command
    }

    /// What to send.
    pub(super) fn cmd(&self) -> &Cmd {
        &self.cmd
    }

    /// What to send to a server that does not know the script: its text in place of its hash.
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
        // Seven arguments of at most 24 bytes beside the key, the hash and the data.
        let mut cmd = Cmd::with_capacity(10, 7 + script.hash.len() + key.len() + data + 7 * 24);
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
        ttl: u64,
        now: Timestamp,
    ) -> Self {
        let mut command = Self::script(script, key, now.as_millis(), write.data.len());
        command.arg(value::header(version, write.expires_at));
        command.arg(&*write.data);
        command.cmd.arg(ttl);
        command
    }

    /// `Cmd::arg` takes an array of bytes for many arguments.
    fn arg(&mut self, bytes: impl AsRef<[u8]>) {
        self.cmd.arg(bytes.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_goes_as_its_hash_and_as_its_text_with_the_same_arguments() {
        let now = Timestamp::from_millis(5);
        let write = Write::new(&b"\0data\r\n"[..], Timestamp::from_millis(1005));
        let command = Command::create(b"key", Version::FIRST, &write, now);
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
        assert_eq!(by_hash[6..], [&b"\0data\r\n"[..], b"1000"]);
        assert!(Command::get(b"key").with_text().is_none());
    }
}
