//! A database that has lost acknowledged writes, as after a failover to a standby or the restore of a backup, and
//! a machine whose clock is ahead.

use std::{sync::Arc, time::Duration};

use poem_session::{
    PublicId,
    store::{LockOwner, Locked, Rename, Replaced, SessionStore, Version},
};
use poem_session_tests::records::{create, create_expired, key, now, replaced, write};

use crate::{Home, client::Client, load};

crate::on_databases!(
    a_reader_of_a_lost_write_does_not_overwrite_a_later_one,
    a_machine_whose_clock_is_ahead_removes_no_live_record,
);

/// A write that the database loses.
#[derive(Clone, Copy, Debug)]
enum Lost {
    Replace,
    TakeOver,
    Rename,
}

impl Lost {
    /// Writes, and returns the version that a reader of the record knows then.
    async fn write(self, store: &Arc<dyn SessionStore>, id: PublicId, known: Version) -> Version {
        match self {
            Self::Replace => {
                let new = write(format!("{self:?}"));
                replaced(store.replace(id, known, new, now()).await)
            }
            Self::TakeOver => {
                let later = write("").expires_at;
                for until in [now(), later] {
                    let locked = store.lock(id, LockOwner::random(), until, now()).await;
                    assert_eq!(locked.expect("a result"), Locked::Acquired);
                }
                let stored = store.load(id, now()).await.expect("a result");
                stored.expect("a record").version
            }
            Self::Rename => {
                let rename = Rename::new(id, known, key(), write("moved"), write("left"));
                replaced(store.rename(rename, now()).await);
                let stored = store.load(id, now()).await.expect("a result");
                stored.expect("a record").version
            }
        }
    }
}

/// Conformance 6.3
async fn a_reader_of_a_lost_write_does_not_overwrite_a_later_one(home: Home) {
    let store = home.open().await;
    let client = Client::connect(&home).await;
    for lost in [Lost::Replace, Lost::TakeOver, Lost::Rename] {
        let (id, known) = create(&store, "kept").await;
        client
            .run("CREATE TABLE kept AS SELECT * FROM poem_sessions")
            .await;
        let of_reader = lost.write(&store, id, known).await;
        client.run("DELETE FROM poem_sessions").await;
        client
            .run("INSERT INTO poem_sessions SELECT * FROM kept")
            .await;
        client.run("DROP TABLE kept").await;

        for later in [Lost::Replace, Lost::TakeOver, Lost::Rename] {
            let known = store.load(id, now()).await.expect("a result");
            let known = known.expect("a record").version;
            later.write(&store, id, known).await;
            let stored = load(&store, id).await;
            let late = store.replace(id, of_reader, write("late"), now()).await;
            let late = late.expect("a result");
            assert!(matches!(late, Replaced::Conflict(_)), "{lost:?}, {later:?}");
            assert_eq!(load(&store, id).await, stored, "{lost:?}, {later:?}");
        }
    }
}

/// Conformance 6.6
async fn a_machine_whose_clock_is_ahead_removes_no_live_record(home: Home) {
    let store = home.open().await;
    let client = Client::connect(&home).await;
    let (live, _) = create(&store, "live").await;
    create_expired(&store).await;
    let ahead = now().saturating_add(Duration::from_hours(24));
    assert_eq!(store.delete_expired(100, ahead).await.expect("a result"), 1);
    assert_eq!(load(&store, live).await.as_deref(), Some("live"));
    // A machine whose clock is behind removes nothing that is live for it.
    create_expired(&store).await;
    let behind = now().saturating_sub(Duration::from_hours(24));
    assert_eq!(
        store.delete_expired(100, behind).await.expect("a result"),
        0
    );
    assert_eq!(client.records().await, 2);
}
