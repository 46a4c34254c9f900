//! The layout of a record: one string value, read with one `GETRANGE`.
//!
//! | offset | bytes | content |
//! |---|---|---|
//! | 0 | 1 | `F5`, a byte that UTF-8 text never contains |
//! | 1 | 1 | 1: the data follows; 2: a lease and the data follow |
//! | 2 | 8 | the version |
//! | 10 | 8 | the expiry, in milliseconds since the Unix epoch |
//! | 18 | 24 | the lease, if any: its owner (16) and its end (8) |
//! | 18 or 42 | | the data |
//!
//! Numbers are big-endian. The scripts read the same layout.
//!
//! # Versions
//! Each write increases the version by a random number, so no two writes have the same version. This has three
//! effects:
//!
//! - A command that is sent again after its reply was lost recognises its own earlier write.
//! - A write based on a version that a failover lost is a conflict and not a silent overwrite.
//! - A record that was removed and created again is not mistaken for the old one.

use bytes::Bytes;

use crate::{
    clock::Timestamp,
    id::PublicId,
    store::{LockOwner, MAX_RECORD, Stored, Version},
};

/// The offset of the data in a record without a lease.
pub(super) const HEADER: usize = 18;
const LEASE: usize = 24;
/// The size of the largest value: a record of the largest size, with a lease.
pub(super) const LARGEST: usize = HEADER + LEASE + MAX_RECORD;

const MAGIC: u8 = 0xF5;
const RECORD: u8 = 1;
const LEASED: u8 = 2;

/// The longest time to live in milliseconds: 100 years. Redis refuses a time to live whose end it cannot
/// represent.
const LONGEST_TTL: u64 = 100 * 365 * 24 * 60 * 60 * 1000;

/// The value was not written by this store.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Foreign;

/// Returns the key of a record. A Cluster hashes only the part in braces, so that other values of the same
/// session can be stored in the same slot in the future.
pub(super) fn key(prefix: &str, id: PublicId) -> Vec<u8> {
    use std::io::Write as _;

    let mut key = Vec::with_capacity(prefix.len() + 66);
    write!(key, "{prefix}{{{id}}}").expect("writing to a vector never fails");
    key
}

/// Returns the header of a record without a lease.
pub(super) fn header(version: Version, expires_at: Timestamp) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[0] = MAGIC;
    header[1] = RECORD;
    header[2..10].copy_from_slice(&version.get().to_be_bytes());
    header[10..].copy_from_slice(&expires_at.as_millis().to_be_bytes());
    header
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(
        bytes[at..at + 8]
            .try_into()
            .expect("the range has eight bytes"),
    )
}

/// Returns the bytes of an owner in a lease.
pub(super) fn owner(owner: LockOwner) -> [u8; 16] {
    owner.get().to_be_bytes()
}

/// Returns the time to live of a record that expires at `expires_at`, in milliseconds. The server's time of
/// day is not used.
pub(super) fn ttl(expires_at: Timestamp, now: Timestamp) -> u64 {
    // Redis refuses zero. The scripts treat an expired record as missing even if the server still has it.
    expires_at
        .as_millis()
        .saturating_sub(now.as_millis())
        .clamp(1, LONGEST_TTL)
}

/// Reads the record in a value. Returns `None` if it has expired.
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
    fn the_layout_is_the_one_that_the_scripts_read() {
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
    fn a_record_is_gone_from_its_expiry_on() {
        assert!(read(value(RECORD, b"", b"x"), at(9)).unwrap().is_some());
        assert_eq!(read(value(RECORD, b"", b"x"), at(10)), Ok(None));
    }

    #[test]
    fn a_foreign_value_of_any_length_is_refused() {
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
    fn a_time_to_live_is_in_the_range_that_redis_accepts() {
        assert_eq!(ttl(at(1500), NOW), 1500);
        assert_eq!(ttl(NOW, NOW), 1);
        assert_eq!(ttl(NOW, at(5)), 1);
        assert_eq!(ttl(Timestamp::from_millis(u64::MAX), NOW), LONGEST_TTL);
    }

    #[test]
    fn only_the_id_of_a_key_is_in_braces() {
        let key = key("shop:", PublicId::from_bytes([0xAB; 32]));
        assert_eq!(key, format!("shop:{{{}}}", "ab".repeat(32)).into_bytes());
    }
}
