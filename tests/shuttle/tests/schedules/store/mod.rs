//! The memory store.

mod call;
mod capacity;
mod history;
mod parallel;
mod sweeping;

use poem_session::{
    clock::Timestamp,
    store::{MemoryStore, SessionStore as _},
};

use self::call::{Key, after};

/// Checks that the count of the store includes all records, expired or not, and that a later sweep removes all
/// of them.
async fn is_counted(store: &MemoryStore) {
    let mut held = 0;
    for key in Key::ALL {
        // Nothing has expired at the epoch.
        let ever = Timestamp::from_millis(0);
        let stored = store.load(key.id(), ever).await.expect("memory");
        held += usize::from(stored.is_some());
    }
    assert_eq!(store.len(), held, "records counted, and records held");
    // One tombstone or forward fits beside the sessions of a small store.
    assert!(held <= store.capacity() + 1, "{held} records held");
    let swept = store.delete_expired(usize::MAX, after(1000)).await;
    let swept = swept.expect("memory");
    assert_eq!((swept, store.len()), (held, 0), "swept, and left");
    assert_eq!(store.bytes(), 0, "bytes counted in an empty store");
}
