//! The programs that the tests need, their directories, and the Debian packages that contain them.
//!
//! `cargo xtask test` compiles this file too, so that it installs what the tests need.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// A server or tool that the system installs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    /// The name for people.
    pub(crate) name: &'static str,
    /// The programs that the tests run.
    pub(crate) programs: &'static [&'static str],
    /// The packages of Debian and Ubuntu that contain them.
    pub(crate) packages: &'static [&'static str],
}

/// Redis: alone, as a Cluster and with Sentinel.
pub(crate) const REDIS: Need = Need {
    name: "Redis",
    programs: &["redis-server", "redis-cli"],
    packages: &["redis-server"],
};

/// PostgreSQL.
pub(crate) const POSTGRES: Need = Need {
    name: "PostgreSQL",
    programs: &["initdb", "postgres", "psql"],
    packages: &["postgresql"],
};

/// PgBouncer.
pub(crate) const PGBOUNCER: Need = Need {
    name: "PgBouncer",
    programs: &["pgbouncer"],
    packages: &["pgbouncer"],
};

/// MariaDB.
pub(crate) const MARIADB: Need = Need {
    name: "MariaDB",
    programs: &["mariadb-install-db", "mariadbd", "mariadb"],
    packages: &["mariadb-server"],
};

/// A browser and its driver.
pub(crate) const BROWSER: Need = Need {
    name: "Chromium",
    programs: &["chromium", "chromedriver"],
    packages: &["chromium", "chromium-driver"],
};

impl Need {
    /// Returns the programs that are not installed.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let absent = |name: &&str| program(name).is_none();
        self.programs.iter().copied().filter(absent).collect()
    }
}

/// Returns the full path of a program.
///
/// Debian installs the programs of PostgreSQL in a directory for each version, outside of `PATH`. The `psql`
/// in `PATH` is a slow wrapper, so those directories come first. The servers are in `sbin` directories,
/// which a user's `PATH` often lacks.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let fixed = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    postgres_directories()
        .into_iter()
        .chain(env::split_paths(&path))
        .chain(fixed)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}

/// Returns `/usr/lib/postgresql/*/bin`, newest version first.
fn postgres_directories() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir("/usr/lib/postgresql") else {
        return Vec::new();
    };
    let version = |directory: &Path| -> u32 {
        let name = directory.file_name().unwrap_or_default();
        name.to_string_lossy().parse().unwrap_or(0)
    };
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    found.sort_by_key(|directory| std::cmp::Reverse(version(directory)));
    found
        .into_iter()
        .map(|directory| directory.join("bin"))
        .collect()
}
