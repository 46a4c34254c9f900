//! The user of a server.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::{fs, io};

use nix::unistd::{User as Account, geteuid};

/// A user without privileges.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Returns the user for a server: the one that its package created, or else `nobody`. Returns `None` if the
/// tests do not run as root and thus cannot change the user.
///
/// PostgreSQL and MariaDB do not run as root.
pub(crate) fn unprivileged(preferred: &str) -> Option<User> {
    if !geteuid().is_root() {
        return None;
    }
    let account = |name| Account::from_name(name).ok().flatten();
    let found = account(preferred).or_else(|| account("nobody"))?;
    Some(User {
        uid: found.uid.as_raw(),
        gid: found.gid.as_raw(),
    })
}

/// Makes a program run as that user.
pub(crate) fn become_user(command: &mut Command, user: Option<User>) {
    if let Some(User { uid, gid }) = user {
        command.uid(uid).gid(gid);
    }
}

/// Gives a directory to that user and closes it to others.
pub(crate) fn hand_over(directory: &Path, user: Option<User>) -> io::Result<()> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    match user {
        Some(user) => chown(directory, Some(user.uid), Some(user.gid)),
        None => Ok(()),
    }
}
