//! The cases. Each is a function.

mod lease;
mod load;
mod namespace;
mod races;
mod rename;
mod time;
mod values;
mod versions;
mod write;

use std::{future::Future, pin::Pin, time::Duration};

use super::suite::Bench;
use crate::{
    clock::Timestamp,
    id::{PublicId, SessionId},
    store::{Created, Stored, Version, Write},
};

/// A test of one behavior of a store.
pub(super) struct Case {
    /// The number of the behavior in the project's list, and the name of the case.
    pub(super) name: &'static str,
    pub(super) run: fn(Bench) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Case {
    /// Returns the name of the case's namespace.
    pub(super) fn namespace(&self) -> String {
        let (_, name) = self.name.split_once(' ').expect("a number and a name");
        name.to_owned()
    }
}

macro_rules! cases {
    ($($number:literal $module:ident::$case:ident,)+) => {
        &[$(Case {
            name: concat!($number, " ", stringify!($case)),
            run: |bench| Box::pin($module::$case(bench)),
        }),+]
    };
}

pub(super) const CASES: &[Case] = cases![
    "6.1" load::create_then_load,
    "6.1" load::empty_record,
    "6.1" write::create_on_live_changes_nothing,
    "6.1" write::create_on_expired_works,
    "6.2" load::missing_is_nothing,
    "6.2" load::cleared_is_nothing,
    "6.2" load::expired_is_nothing,
    "6.3" write::replace_wins_once,
    "6.3" write::replace_moves_the_version_on,
    "6.3" write::replace_may_shorten,
    "6.3" write::stale_replace_returns_current,
    "6.3" write::replace_of_missing_creates_nothing,
    "6.3" write::replace_of_expired_is_gone,
    "6.3" versions::are_never_used_again,
    "6.3" races::parallel_replaces_of_one_version,
    "6.3" races::wins_are_as_many_as_versions,
    "6.3" races::parallel_creates,
    "6.3" races::replace_never_undoes_a_clear,
    "6.3" races::loads_see_whole_records,
    "6.4" time::touch_moves_expiry_only,
    "6.4" time::touch_of_missing_creates_nothing,
    "6.4" time::touch_of_expired_revives_nothing,
    "6.4" time::touch_never_shortens,
    "6.4" time::stale_touch_changes_nothing,
    "6.4" races::touch_never_undoes_a_replace,
    "6.5" rename::moves_the_record,
    "6.5" rename::leaves_a_record,
    "6.5" rename::stale_changes_nothing,
    "6.5" rename::of_missing_changes_nothing,
    "6.5" rename::of_expired_is_gone,
    "6.5" rename::onto_expired_works,
    "6.5" rename::onto_live_is_refused,
    "6.5" races::parallel_renames,
    "6.5" races::renames_leave_no_gap,
    "6.5" races::rename_against_replace,
    "6.5" races::rename_against_clear,
    "6.6" time::boundary_to_the_millisecond,
    "6.6" time::delete_expired_respects_its_limit,
    "6.6" time::delete_expired_keeps_live_records,
    "6.6" time::delete_expired_checks_its_own_clock,
    "6.6" races::parallel_sweeps,
    "6.7" values::sizes_up_to_a_mebibyte,
    "6.7" values::arbitrary_bytes,
    "6.7" values::keys_that_differ_in_one_bit,
    "6.7" values::large_batch,
    "6.7" namespace::keys_are_separate,
    "6.7" namespace::clear_is_limited_to_it,
    "6.9" lease::is_exclusive,
    "6.9" lease::expires,
    "6.9" lease::fences_the_previous_owner,
    "6.9" lease::is_extended_by_its_owner,
    "6.9" lease::is_released_by_its_owner_only,
    "6.9" lease::needs_a_live_record,
    "6.9" lease::is_beside_the_record,
    "6.9" lease::ends_with_the_record,
    "6.9" lease::ends_with_a_rename,
    "6.9" races::one_owner_acquires_the_lease,
];

fn key() -> PublicId {
    SessionId::random().public()
}

const HOUR: Duration = Duration::from_hours(1);

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn stored(write: &Write, version: Version) -> Stored {
    Stored {
        data: write.data.clone(),
        version,
        expires_at: write.expires_at,
    }
}

/// The steps that most cases start with. They panic, and so fail the case, if the store fails.
impl Bench {
    async fn load(&self, key: PublicId) -> Option<Stored> {
        self.load_at(key, self.now).await
    }

    async fn load_at(&self, key: PublicId, now: Timestamp) -> Option<Stored> {
        self.store.load(key, now).await.expect("load")
    }

    /// Creates a record with this data.
    async fn create(&self, data: &'static [u8]) -> (PublicId, Stored) {
        self.create_with(self.write(data)).await
    }

    async fn create_with(&self, write: Write) -> (PublicId, Stored) {
        self.create_at(self.now, write).await
    }

    /// Creates a record as if it were an earlier time. It may have expired by now, by the backend's clock too.
    async fn create_at(&self, now: Timestamp, write: Write) -> (PublicId, Stored) {
        let key = key();
        let created = self
            .store
            .create(key, write.clone(), now)
            .await
            .expect("create");
        let Created::Created(version) = created else {
            panic!("create under an unused key returned {created:?}");
        };
        (key, stored(&write, version))
    }

    /// Returns a time at which no record of the case has expired. A backend that sweeps at its writes removes
    /// nothing then.
    fn earlier(&self) -> Timestamp {
        self.now.saturating_sub(2 * HOUR)
    }

    /// Creates a record that has expired by now.
    async fn create_expired(&self) {
        let write = Write::new(&b"expired"[..], self.now.saturating_sub(HOUR));
        self.create_at(self.earlier(), write).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_valid_as_table_names() {
        let mut names: Vec<_> = CASES.iter().map(Case::namespace).collect();
        for name in &names {
            assert!(name.len() <= 38, "{name}");
            assert!(
                name.bytes()
                    .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')),
                "{name}"
            );
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), CASES.len());
    }
}
