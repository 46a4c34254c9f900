//! Calls of a store, as data.

use poem_session::{
    PublicId,
    clock::Timestamp,
    store::{
        Created, LockOwner, Locked, Rename, Replaced, SessionStore, StoreErrorKind, Stored,
        Version, Write,
    },
};

/// The time of all calls.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_000_000);
/// A moment before [`NOW`].
pub(crate) const PAST: Timestamp = Timestamp::from_millis(999_000);

/// A moment after [`NOW`].
pub(crate) fn after(seconds: u64) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() + 1000 * seconds)
}

/// Three keys. The memory store keeps two of them in one shard, behind one lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    A,
    BesideA,
    B,
}

impl Key {
    pub(crate) const ALL: [Self; 3] = [Self::A, Self::BesideA, Self::B];

    pub(crate) fn id(self) -> PublicId {
        let mut bytes = [0; 32];
        match self {
            Self::A => {}
            Self::BesideA => bytes[8] = 1,
            Self::B => bytes[0] = 1,
        }
        PublicId::from_bytes(bytes)
    }
}

/// A call without its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Load(Key),
    Create(Key, &'static str),
    Replace(Key, Version, &'static str),
    Touch(Key, Version, Timestamp),
    Rename {
        from: Key,
        expected: Version,
        to: Key,
        data: &'static str,
        leave: &'static str,
    },
    Lock(Key, u128),
    Unlock(Key, u128),
    /// Removes expired records.
    Sweep,
    Clear,
}

/// The reply to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Loaded(Option<Stored>),
    Created(Created),
    Replaced(Replaced),
    /// To a touch or an unlock.
    Was(bool),
    Locked(Locked),
    /// To a rename onto a live record.
    Refused,
    /// To a clear, or to a sweep, whose count depends on the calls before it.
    Done,
}

impl Call {
    pub(crate) async fn run(self, store: &dyn SessionStore) -> Reply {
        let write = |data: &'static str| Write::new(data, after(60));
        match self {
            Self::Load(key) => Reply::Loaded(store.load(key.id(), NOW).await.expect("memory")),
            Self::Create(key, data) => {
                let created = store.create(key.id(), write(data), NOW).await;
                Reply::Created(created.expect("the store has space"))
            }
            Self::Replace(key, expected, data) => {
                let replaced = store.replace(key.id(), expected, write(data), NOW).await;
                Reply::Replaced(replaced.expect("memory"))
            }
            Self::Touch(key, expected, end) => Reply::Was(
                store
                    .touch(key.id(), expected, end, NOW)
                    .await
                    .expect("memory"),
            ),
            Self::Rename {
                from,
                expected,
                to,
                data,
                leave,
            } => {
                let (write, leave) = (write(data), write(leave));
                let rename = Rename::new(from.id(), expected, to.id(), write, leave);
                match store.rename(rename, NOW).await {
                    Ok(replaced) => Reply::Replaced(replaced),
                    Err(error) => {
                        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
                        Reply::Refused
                    }
                }
            }
            Self::Lock(key, owner) => {
                let locked = store.lock(key.id(), LockOwner::new(owner), after(30), NOW);
                Reply::Locked(locked.await.expect("memory"))
            }
            Self::Unlock(key, owner) => {
                let unlocked = store.unlock(key.id(), LockOwner::new(owner));
                Reply::Was(unlocked.await.expect("memory"))
            }
            Self::Sweep => {
                store.delete_expired(usize::MAX, NOW).await.expect("memory");
                Reply::Done
            }
            Self::Clear => {
                store.clear().await.expect("memory");
                Reply::Done
            }
        }
    }
}
