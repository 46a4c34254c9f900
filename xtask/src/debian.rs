//! Installation of Debian packages.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::steps;

/// Whether this process can install packages: it runs as root, on Debian or a distribution derived from it.
pub(crate) fn can_install() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    is_debian(&release) && is_root()
}

/// The command that installs these packages by hand.
pub(crate) fn command_line(packages: &[&str]) -> String {
    format!(
        "apt-get install --no-install-recommends {}",
        packages.join(" ")
    )
}

/// Installs packages without starting their services.
pub(crate) fn install(packages: &[&str]) -> Result<(), String> {
    let _policy = NoServices::in_force()
        .map_err(|error| format!("cannot forbid the start of services: {error}"))?;
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
    // The line lists the real, effective, saved and file system ids; the effective one counts.
    ids.next().and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}

/// A guard: while it exists, the installation of a package starts no service.
///
/// The tests start servers of their own, on other ports and with other data. A service that the installation
/// started could hide that a test connects to the wrong server.
struct NoServices {
    /// Whether the guard wrote the policy file, and has to remove it.
    ours: bool,
}

/// Debian's tools run this program before they start a service. Exit status 101 forbids the start.
const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn in_force() -> io::Result<Self> {
        // A policy that exists is kept. Containers usually have one that forbids all services.
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        let policy = Self { ours: true };
        fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(policy)
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("warning: cannot remove {POLICY}: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_and_its_derivatives_are_recognised_by_their_release_file() {
        assert!(is_debian(
            "PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n"
        ));
        assert!(is_debian("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"));
        assert!(!is_debian("ID=fedora\nNAME=\"not debian\"\n"));
        assert!(!is_debian(""));
    }
}
