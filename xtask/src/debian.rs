//! Installing Debian packages.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::steps;

/// Whether packages can be installed here: Debian or one of its kin, by root.
pub(crate) fn can_install() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    is_debian(&release) && is_root()
}

/// The command that a person would type.
pub(crate) fn command_line(packages: &[&str]) -> String {
    format!(
        "apt-get install --no-install-recommends {}",
        packages.join(" ")
    )
}

/// Installs packages, without starting the services in them.
pub(crate) fn install(packages: &[&str]) -> Result<(), String> {
    let _policy = StartNothing::in_force()
        .map_err(|error| format!("services cannot be kept from starting: {error}"))?;
    let apt = || {
        let mut command = Command::new("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-y", "-qq"]);
        command
    };
    steps::run(apt().arg("update"))?;
    steps::run(
        apt()
            .args(["install", "--no-install-recommends"])
            .args(packages),
    )
}

fn is_debian(os_release: &str) -> bool {
    os_release
        .lines()
        .filter_map(|line| line.split_once('='))
        .any(|(name, value)| {
            let mut words = value.trim_matches('"').split(' ');
            matches!(name, "ID" | "ID_LIKE")
                && words.any(|word| matches!(word, "debian" | "ubuntu"))
        })
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut ids = status.lines().filter_map(|line| line.strip_prefix("Uid:"));
    // Real, effective, saved, file system: the effective one decides.
    ids.next().and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}

/// While it lives, installing a package starts no service.
///
/// The tests run servers of their own, on other ports and with other data: one that the
/// installation left running would only hide that a test talks to the wrong server.
struct StartNothing {
    ours: bool,
}

/// Debian's tools ask this program before they start a service; status 101 forbids it.
const POLICY: &str = "/usr/sbin/policy-rc.d";

impl StartNothing {
    fn in_force() -> io::Result<Self> {
        // The machine's own policy stays; containers usually have one that says the same.
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        let policy = Self { ours: true };
        fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(policy)
    }
}

impl Drop for StartNothing {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("warning: {POLICY} is left behind: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_and_its_kin_are_known_by_their_release_file() {
        assert!(is_debian(
            "PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n"
        ));
        assert!(is_debian("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"));
        assert!(!is_debian("ID=fedora\nNAME=\"not debian\"\n"));
        assert!(!is_debian(""));
    }
}
