//! Tests the suite with stores that each have one fault. The suite must find every fault.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use super::{Report, Suite};
use crate::{
    clock::{Clock as _, SystemClock, Timestamp},
    id::PublicId,
    store::{
        Created, LockOwner, Locked, Rename, Replaced, SessionStore, StoreError, StoreErrorKind,
        StoreFuture, Stored, Version, Write,
    },
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    LoadReturnsExpired,
    LoadTruncates,
    ExpiryIsInclusive,
    ExpiryInSeconds,
    CreateOverwrites,
    CreateKeepsExpired,
    CreateKeepsLease,
    CreateRaces,
    ReplaceIgnoresVersion,
    ReplaceCreates,
    ReplaceKeepsVersion,
    ReplaceRaces,
    ReplaceKeepsExpiry,
    ConflictReturnsGone,
    TouchShortens,
    TouchIgnoresVersion,
    StaleTouchReturnsTrue,
    TouchMovesVersion,
    TouchRevives,
    RenameKeepsOld,
    RenameIgnoresLeave,
    RenameOverwrites,
    RenameRefusesExpired,
    RenameTakesLease,
    RenameRaces,
    RenameLeavesAGap,
    RenameLeavesFirst,
    LeaveKeepsVersion,
    SweepIgnoresLimit,
    SweepRemovesLive,
    SweepDoesNothing,
    SweepTrustsTheCaller,
    VersionsCount,
    ClearDoesNothing,
    NamespacesShareKeys,
    ClearRemovesAll,
    LeaseIsShared,
    LeaseNeverExpires,
    LeaseIsNotExtended,
    LeaseHasNoFence,
    LeaseMovesVersion,
    LeaseOfMissing,
    LeaseBlocksWrites,
    UnlockByAnyOwner,
    UnlockReturnsTrue,
    HangsOnLock,
}

/// A simple store that is correct except for its fault. A fault that is a race makes it yield between a read
/// and the write that depends on it.
#[derive(Debug)]
struct Broken {
    fault: Fault,
    namespace: String,
    /// The records of all namespaces of the backend.
    records: Arc<Mutex<Records>>,
}

type Records = HashMap<(String, PublicId), Record>;

#[derive(Debug, Clone)]
struct Record {
    stored: Stored,
    lease: Option<(LockOwner, Timestamp)>,
}

impl Record {
    fn new(write: &Write, version: Version) -> Self {
        Self {
            stored: Stored {
                data: write.data.clone(),
                version,
                expires_at: write.expires_at,
            },
            lease: None,
        }
    }
}

impl Broken {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn at(&self, key: PublicId) -> (String, PublicId) {
        let namespace = if self.has(Fault::NamespacesShareKeys) {
            String::new()
        } else {
            self.namespace.clone()
        };
        (namespace, key)
    }

    fn is_live(&self, record: &Record, now: Timestamp) -> bool {
        let end = record.stored.expires_at;
        match self.fault {
            Fault::ExpiryIsInclusive => now <= end,
            Fault::ExpiryInSeconds => now.as_millis() / 1000 < end.as_millis() / 1000,
            _ => now < end,
        }
    }

    fn after(&self, version: Version) -> Version {
        if self.has(Fault::VersionsCount) {
            version.next()
        } else {
            version.random_next()
        }
    }

    fn live(&self, key: PublicId, now: Timestamp) -> Option<Record> {
        let record = self.records.lock().get(&self.at(key)).cloned();
        record.filter(|record| self.is_live(record, now))
    }

    fn put(&self, key: PublicId, record: Record) {
        self.records.lock().insert(self.at(key), record);
    }

    fn update(&self, key: PublicId, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.records.lock().get_mut(&self.at(key)) {
            change(record);
        }
    }

    fn remove(&self, key: PublicId) {
        self.records.lock().remove(&self.at(key));
    }

    /// Lets other tasks run if the store's fault is `race`.
    async fn yield_if(&self, race: Fault) {
        if self.has(race) {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        }
    }
}

impl SessionStore for Broken {
    fn load(&self, key: PublicId, now: Timestamp) -> StoreFuture<'_, Option<Stored>> {
        Box::pin(async move {
            let now = if self.has(Fault::LoadReturnsExpired) {
                Timestamp::from_millis(0)
            } else {
                now
            };
            Ok(self.live(key, now).map(|mut record| {
                if self.has(Fault::LoadTruncates) && record.stored.data.len() > 65_535 {
                    record.stored.data.truncate(65_535);
                }
                record.stored
            }))
        })
    }

    fn create(&self, key: PublicId, write: Write, now: Timestamp) -> StoreFuture<'_, Created> {
        Box::pin(async move {
            let old = self.records.lock().get(&self.at(key)).cloned();
            let blocks = old
                .as_ref()
                .is_some_and(|old| self.is_live(old, now) || self.has(Fault::CreateKeepsExpired));
            if blocks && !self.has(Fault::CreateOverwrites) {
                return Ok(Created::Exists);
            }
            self.yield_if(Fault::CreateRaces).await;
            let version = self.after(Version::new(0));
            let mut record = Record::new(&write, version);
            if self.has(Fault::CreateKeepsLease) {
                record.lease = old.and_then(|old| old.lease);
            }
            self.put(key, record);
            Ok(Created::Created(version))
        })
    }

    fn replace(
        &self,
        key: PublicId,
        expected: Version,
        write: Write,
        now: Timestamp,
    ) -> StoreFuture<'_, Replaced> {
        Box::pin(async move {
            let Some(mut record) = self.live(key, now) else {
                if self.has(Fault::ReplaceCreates) {
                    self.put(key, Record::new(&write, Version::FIRST));
                }
                return Ok(Replaced::Gone);
            };
            if self.has(Fault::LeaseBlocksWrites) && record.lease.is_some() {
                return Ok(Replaced::Conflict(record.stored));
            }
            if record.stored.version != expected && !self.has(Fault::ReplaceIgnoresVersion) {
                return Ok(if self.has(Fault::ConflictReturnsGone) {
                    Replaced::Gone
                } else {
                    Replaced::Conflict(record.stored)
                });
            }
            self.yield_if(Fault::ReplaceRaces).await;
            record.stored.data = write.data;
            if !self.has(Fault::ReplaceKeepsExpiry) {
                record.stored.expires_at = write.expires_at;
            }
            if !self.has(Fault::ReplaceKeepsVersion) {
                record.stored.version = self.after(record.stored.version);
            }
            let version = record.stored.version;
            self.put(key, record);
            Ok(Replaced::Replaced(version))
        })
    }

    fn touch(
        &self,
        key: PublicId,
        expected: Version,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let now = if self.has(Fault::TouchRevives) {
                Timestamp::from_millis(0)
            } else {
                now
            };
            let Some(record) = self.live(key, now) else {
                return Ok(false);
            };
            let (version, end) = (record.stored.version, record.stored.expires_at);
            if version != expected && !self.has(Fault::TouchIgnoresVersion) {
                return Ok(self.has(Fault::StaleTouchReturnsTrue));
            }
            if expires_at > end || self.has(Fault::TouchShortens) {
                self.update(key, |record| {
                    record.stored.expires_at = expires_at;
                    if self.has(Fault::TouchMovesVersion) {
                        record.stored.version = version.next();
                    }
                });
            }
            Ok(true)
        })
    }

    fn rename(&self, rename: Rename, now: Timestamp) -> StoreFuture<'_, Replaced> {
        Box::pin(async move {
            let Rename {
                from,
                expected,
                to,
                write,
                leave,
            } = rename;
            let Some(record) = self.live(from, now) else {
                return Ok(Replaced::Gone);
            };
            if record.stored.version != expected {
                return Ok(Replaced::Conflict(record.stored));
            }
            let occupied = self.records.lock().get(&self.at(to)).is_some_and(|there| {
                self.is_live(there, now) || self.has(Fault::RenameRefusesExpired)
            });
            if occupied && !self.has(Fault::RenameOverwrites) {
                return Err(StoreError::new(StoreErrorKind::Corrupt, "renaming"));
            }
            self.yield_if(Fault::RenameRaces).await;
            if self.has(Fault::RenameLeavesAGap) {
                self.remove(from);
                self.yield_if(Fault::RenameLeavesAGap).await;
            }
            let version = self.after(expected);
            if self.has(Fault::RenameLeavesFirst) {
                self.put(from, Record::new(&leave, version));
                self.yield_if(Fault::RenameLeavesFirst).await;
            }
            let mut renamed = Record::new(&write, version);
            if self.has(Fault::RenameTakesLease) {
                renamed.lease = record.lease;
            }
            self.put(to, renamed);
            match self.fault {
                Fault::RenameKeepsOld => {}
                Fault::RenameIgnoresLeave => self.remove(from),
                Fault::LeaveKeepsVersion => self.put(from, Record::new(&leave, expected)),
                _ => self.put(from, Record::new(&leave, version)),
            }
            Ok(Replaced::Replaced(version))
        })
    }

    fn delete_expired(&self, limit: usize, now: Timestamp) -> StoreFuture<'_, usize> {
        Box::pin(async move {
            let limit = match self.fault {
                Fault::SweepIgnoresLimit => usize::MAX,
                Fault::SweepDoesNothing => 0,
                _ => limit,
            };
            let trusts = self.has(Fault::SweepTrustsTheCaller);
            let now = now.min(if trusts { now } else { SystemClock.now() });
            let mut removed = 0;
            self.records.lock().retain(|(namespace, _), record| {
                let takes = self.has(Fault::SweepRemovesLive) || !self.is_live(record, now);
                let remove = removed < limit && *namespace == self.namespace && takes;
                removed += usize::from(remove);
                !remove
            });
            Ok(removed)
        })
    }

    fn clear(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.records.lock().retain(|(namespace, _), _| {
                let own = *namespace == self.namespace || self.has(Fault::ClearRemovesAll);
                !own || self.has(Fault::ClearDoesNothing)
            });
            Ok(())
        })
    }

    fn lock(
        &self,
        key: PublicId,
        owner: LockOwner,
        until: Timestamp,
        now: Timestamp,
    ) -> StoreFuture<'_, Locked> {
        Box::pin(async move {
            if self.has(Fault::HangsOnLock) {
                std::future::pending::<()>().await;
            }
            let Some(record) = self.live(key, now) else {
                let nothing = self.has(Fault::LeaseOfMissing);
                return Ok(if nothing {
                    Locked::Acquired
                } else {
                    Locked::Gone
                });
            };
            let mut fenced = self.has(Fault::LeaseMovesVersion);
            if let Some((holder, end)) = record.lease {
                let own = holder == owner && !self.has(Fault::LeaseIsNotExtended);
                let expired = end <= now && !self.has(Fault::LeaseNeverExpires);
                if !own && !expired && !self.has(Fault::LeaseIsShared) {
                    return Ok(Locked::Held);
                }
                fenced |= !own && !self.has(Fault::LeaseHasNoFence);
            }
            self.update(key, |record| {
                record.lease = Some((owner, until));
                if fenced {
                    record.stored.version = self.after(record.stored.version);
                }
            });
            Ok(Locked::Acquired)
        })
    }

    fn unlock(&self, key: PublicId, owner: LockOwner) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let mut held = false;
            self.update(key, |record| {
                held = record.lease.is_some_and(|(holder, _)| {
                    holder == owner || self.has(Fault::UnlockByAnyOwner)
                });
                if held {
                    record.lease = None;
                }
            });
            Ok(held || self.has(Fault::UnlockReturnsTrue))
        })
    }
}

async fn report_on(fault: Fault) -> Report {
    let records = Arc::new(Mutex::new(Records::new()));
    let suite = Suite::new(format!("{fault:?}"), move |namespace| {
        let records = Arc::clone(&records);
        async move {
            Broken {
                fault,
                namespace,
                records,
            }
        }
    });
    suite.run().await
}

#[tokio::test]
async fn the_store_without_a_fault_passes() {
    report_on(Fault::None).await.assert();
}

/// Time is paused, so that a store that hangs takes no real time.
#[tokio::test(start_paused = true)]
async fn every_fault_is_found() {
    let faults = [
        (Fault::LoadReturnsExpired, "expired_is_nothing"),
        (Fault::LoadTruncates, "sizes_up_to_a_mebibyte"),
        (Fault::ExpiryIsInclusive, "boundary_to_the_millisecond"),
        (Fault::ExpiryInSeconds, "boundary_to_the_millisecond"),
        (Fault::CreateOverwrites, "create_on_live_changes_nothing"),
        (Fault::CreateKeepsExpired, "create_on_expired_works"),
        (Fault::CreateKeepsLease, "ends_with_the_record"),
        (Fault::CreateRaces, "parallel_creates"),
        (Fault::ReplaceIgnoresVersion, "replace_wins_once"),
        (Fault::ReplaceCreates, "replace_of_missing_creates_nothing"),
        (Fault::ReplaceKeepsVersion, "replace_moves_the_version_on"),
        (Fault::ReplaceRaces, "wins_are_as_many_as_versions"),
        (Fault::ReplaceKeepsExpiry, "replace_may_shorten"),
        (Fault::ConflictReturnsGone, "stale_replace_returns_current"),
        (Fault::TouchShortens, "touch_never_shortens"),
        (Fault::TouchIgnoresVersion, "stale_touch_changes_nothing"),
        (Fault::StaleTouchReturnsTrue, "stale_touch_changes_nothing"),
        (Fault::TouchMovesVersion, "touch_moves_expiry_only"),
        (Fault::TouchRevives, "touch_of_expired_revives_nothing"),
        (Fault::RenameKeepsOld, "moves_the_record"),
        (Fault::RenameIgnoresLeave, "leaves_a_record"),
        (Fault::RenameOverwrites, "onto_live_is_refused"),
        (Fault::RenameRefusesExpired, "onto_expired_works"),
        (Fault::RenameTakesLease, "ends_with_a_rename"),
        (Fault::RenameRaces, "parallel_renames"),
        (Fault::RenameLeavesAGap, "renames_leave_no_gap"),
        (Fault::RenameLeavesFirst, "renames_leave_no_gap"),
        (Fault::LeaveKeepsVersion, "leaves_a_record"),
        (
            Fault::SweepIgnoresLimit,
            "delete_expired_respects_its_limit",
        ),
        (Fault::SweepRemovesLive, "delete_expired_keeps_live_records"),
        (Fault::SweepDoesNothing, "delete_expired_respects_its_limit"),
        (
            Fault::SweepTrustsTheCaller,
            "delete_expired_checks_its_own_clock",
        ),
        (Fault::VersionsCount, "are_never_used_again"),
        (Fault::ClearDoesNothing, "clear_is_limited_to_it"),
        (Fault::NamespacesShareKeys, "keys_are_separate"),
        (Fault::ClearRemovesAll, "clear_is_limited_to_it"),
        (Fault::LeaseIsShared, "is_exclusive"),
        (Fault::LeaseNeverExpires, "expires"),
        (Fault::LeaseIsNotExtended, "is_extended_by_its_owner"),
        (Fault::LeaseHasNoFence, "fences_the_previous_owner"),
        (Fault::LeaseMovesVersion, "is_beside_the_record"),
        (Fault::LeaseOfMissing, "needs_a_live_record"),
        (Fault::LeaseBlocksWrites, "is_beside_the_record"),
        (Fault::UnlockByAnyOwner, "is_released_by_its_owner_only"),
        (Fault::UnlockReturnsTrue, "is_released_by_its_owner_only"),
        (Fault::HangsOnLock, "is_exclusive"),
    ];
    for (fault, case) in faults {
        let report = report_on(fault).await;
        let found = report
            .failures()
            .iter()
            .any(|failure| failure.case.ends_with(case));
        assert!(found, "{fault:?} was not found by {case}: {report}");
        assert!(!report.passed().is_empty(), "{fault:?} ended the run");
    }
}

#[tokio::test]
async fn a_report_names_the_failed_case() {
    let report = report_on(Fault::ClearRemovesAll).await;
    assert_eq!(report.failures().len(), 1);
    let text = report.to_string();
    assert!(text.starts_with("ClearRemovesAll: "), "{text}");
    assert!(text.contains("\n  6.7 clear_is_limited_to_it: "), "{text}");
    let panic = std::panic::catch_unwind(|| report.assert());
    assert!(panic.is_err());
}
