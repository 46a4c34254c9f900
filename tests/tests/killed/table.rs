//! Reads a file of sessions without the store.

use std::{collections::BTreeMap, path::Path};

use poem_session::{
    PublicId,
    clock::{Clock as _, SystemClock, Timestamp},
};
use serde::{Deserialize, de::IgnoredAny};
use sqlx::{Row as _, sqlite::SqliteConnectOptions};

/// The values of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Data {
    #[serde(rename = "shop.user")]
    pub(crate) user: Option<u64>,
    #[serde(rename = "shop.visits", default)]
    pub(crate) visits: u64,
    #[serde(rename = "shop.notice")]
    pub(crate) notice: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) key: PublicId,
    pub(crate) data: Data,
    pub(crate) is_tombstone_or_forward: bool,
    pub(crate) expires_at: Timestamp,
    pub(crate) locked_until: Option<Timestamp>,
}

#[derive(Deserialize)]
#[expect(clippy::zero_sized_map_values, reason = "serde has no set of keys")]
struct Record {
    #[serde(flatten)]
    data: Data,
    #[serde(flatten)]
    /// The entries of the library.
    own: BTreeMap<String, IgnoredAny>,
}

impl Row {
    pub(crate) fn is_locked(&self) -> bool {
        self.locked_until.is_some()
    }

    fn new(row: &sqlx::sqlite::SqliteRow) -> Self {
        let key: Vec<u8> = row.get("id");
        let data: Vec<u8> = row.get("data");
        let Record { data, own } = rmp_serde::from_slice(&data).expect("a record is whole");
        for name in own.keys() {
            assert!(name.starts_with('$'), "an unknown entry: {name}");
        }
        Self {
            key: PublicId::from_bytes(key.try_into().expect("32 bytes")),
            data,
            is_tombstone_or_forward: own.contains_key("$ended") || own.contains_key("$moved"),
            expires_at: moment(row.get("expires_at")),
            locked_until: row.get::<Option<i64>, _>("lock_until").map(moment),
        }
    }
}

fn moment(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis.try_into().expect("after 1970"))
}

/// Returns the time and all rows.
pub(crate) async fn read(file: &Path) -> (Timestamp, Vec<Row>) {
    let options = SqliteConnectOptions::new().filename(file);
    let pool = sqlx::SqlitePool::connect_with(options)
        .await
        .expect("a file");
    let rows = sqlx::query("SELECT id, data, expires_at, lock_until FROM poem_sessions")
        .fetch_all(&pool)
        .await
        .expect("a table");
    pool.close().await;
    (SystemClock.now(), rows.iter().map(Row::new).collect())
}
