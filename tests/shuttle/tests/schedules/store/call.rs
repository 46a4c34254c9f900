//! Calls of a store, as data.

use poem_session::{
    clock::Timestamp,
    id::PublicId,
    store::{
        Created, LockOwner, Locked, Rename, Replaced, SessionStore, StoreErrorKind, Stored,
        Version, Write,
    },
};

/// The present, in all calls.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_000_000);
/// Before the present.
pub(crate) const PAST: Timestamp = Timestamp::from_millis(999_000);

/// A moment after the present.
pub(crate) fn after(seconds: u64) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() + 1000 * seconds)
}

/// Three keys. Two of them are in one part of the memory store, behind one lock, and one is not.
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

/// A call, but for the time.
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
    /// Removes what has expired.
    Sweep,
    Clear,
}

/// What a call answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Loaded(Option<Stored>),
    Created(Created),
    Replaced(Replaced),
    /// Of a touch or an unlock.
    Was(bool),
    Locked(Locked),
    /// A rename onto a live record.
    Refused,
    /// Of a sweep, whose number depends on what others removed first, or of a clear.
    Done,
}

impl Call {
    pub(crate) async fn run(self, store: &dyn SessionStore) -> Answer {
        let write = |data: &'static str| Write::new(data, after(60));
        match self {
            Self::Load(key) => Answer::Loaded(store.load(key.id(), NOW).await.expect("memory")),
            Self::Create(key, data) => {
                let created = store.create(key.id(), write(data), NOW).await;
                Answer::Created(created.expect("room"))
            }
            Self::Replace(key, expected, data) => {
                let replaced = store.replace(key.id(), expected, write(data), NOW).await;
                Answer::Replaced(replaced.expect("memory"))
            }
            Self::Touch(key, expected, end) => Answer::Was(
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
                    Ok(replaced) => Answer::Replaced(replaced),
                    Err(error) => {
                        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
                        Answer::Refused
                    }
                }
            }
            Self::Lock(key, owner) => {
                let locked = store.lock(key.id(), LockOwner::new(owner), after(30), NOW);
                Answer::Locked(locked.await.expect("memory"))
            }
            Self::Unlock(key, owner) => {
                let unlocked = store.unlock(key.id(), LockOwner::new(owner));
                Answer::Was(unlocked.await.expect("memory"))
            }
            Self::Sweep => {
                store.delete_expired(usize::MAX, NOW).await.expect("memory");
                Answer::Done
            }
            Self::Clear => {
                store.clear().await.expect("memory");
                Answer::Done
            }
        }
    }
}
