//! How a record lies in its key: one string value, read with one `GETRANGE`.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 1 | `F5`, a byte that no text contains |
//! | 1 | 1 | what follows: 1 the data, 2 a lease and the data |
//! | 2 | 8 | the version |
//! | 10 | 8 | the expiry, in milliseconds since the Unix epoch |
//! | 18 | 24 | the lease, where there is one: its owner (16) and its end (8) |
//! | 18 or 42 | | the data |
//!
//! Numbers are big-endian. The scripts read the same layout.
//!
//! # Versions
//! The upper half of a version counts the record's writes, the lower half is random, so that no two
//! writes ever give the same version. That makes three things certain: a command that is sent again
//! after its answer was lost knows its own work; a write that was built on a version which a failover
//! has lost is a conflict and not a silent overwrite; a record that was removed and made anew is not
//! mistaken for the old one.

use bytes::Bytes;

use crate::{
    clock::Timestamp,
    id::PublicId,
    store::{LockOwner, MAX_RECORD, Stored, Version},
};

/// Where the data of a record without a lease begins.
pub(super) const HEADER: usize = 18;
const LEASE: usize = 24;
/// No value is larger: a record of the largest size, with a lease.
pub(super) const LARGEST: usize = HEADER + LEASE + MAX_RECORD;

const MAGIC: u8 = 0xF5;
const RECORD: u8 = 1;
const LEASED: u8 = 2;

/// Longer than any session: Redis refuses a time to live whose end it cannot represent.
const LONGEST_TTL: u64 = 100 * 365 * 24 * 60 * 60 * 1000;

/// The value is not one of ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Foreign;

/// The key of a record. The name is in braces, which makes it all that a Cluster hashes: whatever is
/// kept beside a record one day can lie in its slot.
pub(super) fn key(prefix: &str, id: PublicId) -> Vec<u8> {
    use std::io::Write as _;

    let mut key = Vec::with_capacity(prefix.len() + 66);
    write!(key, "{prefix}{{{id}}}").expect("a vector takes all that is written to it");
    key
}

/// The version of a record's first write.
pub(super) fn first_version() -> Version {
    next_version(Version::new(0))
}

/// The version of the write after `version`.
pub(super) fn next_version(version: Version) -> Version {
    let count = (version.get() >> 32).wrapping_add(1);
    Version::new(count << 32 | u64::from(rand::random::<u32>()))
}

/// What the value of a record without a lease begins with.
pub(super) fn header(version: Version, expires_at: Timestamp) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[0] = MAGIC;
    header[1] = RECORD;
    header[2..10].copy_from_slice(&version.get().to_be_bytes());
    header[10..].copy_from_slice(&expires_at.as_millis().to_be_bytes());
    header
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes are eight"))
}

/// The bytes that stand for an owner in a lease.
pub(super) fn owner(owner: LockOwner) -> [u8; 16] {
    owner.get().to_be_bytes()
}

/// How long the server is to keep what ends at `expires_at`, in milliseconds. The server's clock has no
/// part in this: it only measures how long that is.
pub(super) fn ttl(expires_at: Timestamp, now: Timestamp) -> u64 {
    // Zero would be refused. What is over already is gone for the scripts, whatever the server does.
    expires_at
        .as_millis()
        .saturating_sub(now.as_millis())
        .clamp(1, LONGEST_TTL)
}

/// Reads a value: the record in it, if it is one and has not ended.
pub(super) fn read(value: Vec<u8>, now: Timestamp) -> Result<Option<Stored>, Foreign> {
    let (&MAGIC, &kind) = (value.first().ok_or(Foreign)?, value.get(1).ok_or(Foreign)?) else {
        return Err(Foreign);
    };
    let data = match kind {
        RECORD => HEADER,
        LEASED => HEADER + LEASE,
        _ => return Err(Foreign),
    };
    if !(data..=LARGEST).contains(&value.len()) {
        return Err(Foreign);
    }
    let version = Version::new(number(&value, 2));
    let expires_at = Timestamp::from_millis(number(&value, 10));
    if expires_at <= now {
        return Ok(None);
    }
    Ok(Some(Stored {
        data: Bytes::from(value).slice(data..),
        version,
        expires_at,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(NOW.as_millis() + millis)
    }

    fn value(kind: u8, between: &[u8], data: &[u8]) -> Vec<u8> {
        let mut value = header(Version::new(0x0102_0304_0506_0708), at(10)).to_vec();
        value[1] = kind;
        value.extend_from_slice(between);
        value.extend_from_slice(data);
        value
    }

    #[test]
    fn the_layout_is_what_the_scripts_read() {
        let header = header(
            Version::new(0x0102_0304_0506_0708),
            Timestamp::from_millis(9),
        );
        assert_eq!(
            header,
            [0xF5, 1, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 9]
        );
        assert_eq!(owner(LockOwner::new(0x0A))[15], 0x0A);
    }

    #[test]
    fn a_record_is_read_with_and_without_a_lease() {
        for (kind, between) in [(RECORD, &[][..]), (LEASED, &[0xF5; LEASE][..])] {
            for data in [&b""[..], b"data", &[0xF5, 0, 3]] {
                let stored = read(value(kind, between, data), NOW).unwrap().unwrap();
                assert_eq!(stored.data, data);
                assert_eq!(stored.version, Version::new(0x0102_0304_0506_0708));
                assert_eq!(stored.expires_at, at(10));
            }
        }
    }

    #[test]
    fn a_record_ends_at_its_expiry() {
        assert!(read(value(RECORD, b"", b"x"), at(9)).unwrap().is_some());
        assert_eq!(read(value(RECORD, b"", b"x"), at(10)), Ok(None));
    }

    #[test]
    fn what_is_not_ours_is_refused_at_every_length() {
        let leased = value(LEASED, &[0; LEASE], b"");
        for length in 0..leased.len() {
            assert_eq!(
                read(leased[..length].to_vec(), NOW),
                Err(Foreign),
                "{length}"
            );
        }
        assert_eq!(read(value(0, b"", b""), NOW), Err(Foreign));
        assert_eq!(read(value(3, b"", b""), NOW), Err(Foreign));
        assert_eq!(
            read(b"a text that is long enough".to_vec(), NOW),
            Err(Foreign)
        );
    }

    #[test]
    fn versions_go_up_and_never_meet() {
        let first = first_version();
        let (a, b) = (next_version(first), next_version(first));
        assert!(a > first && b > first);
        assert_ne!(a, b);
        assert!(next_version(a) > b);
    }

    #[test]
    fn a_time_to_live_is_one_that_redis_takes() {
        assert_eq!(ttl(at(1500), NOW), 1500);
        assert_eq!(ttl(NOW, NOW), 1);
        assert_eq!(ttl(NOW, at(5)), 1);
        assert_eq!(ttl(Timestamp::from_millis(u64::MAX), NOW), LONGEST_TTL);
    }

    #[test]
    fn a_key_hashes_by_its_name_alone() {
        let key = key("shop:", PublicId::from_bytes([0xAB; 32]));
        assert_eq!(key, format!("shop:{{{}}}", "ab".repeat(32)).into_bytes());
    }
}
