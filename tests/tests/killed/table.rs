//! Reads a file of sessions without the store.

use std::{collections::BTreeMap, path::Path};

use poem_session::{
    PublicId,
    clock::{Clock as _, SystemClock, Timestamp},
};
use serde::{Deserialize, de::IgnoredAny};
use sqlx::{Row as _, sqlite::SqliteConnectOptions};

/// The values of a session.
pub(crate) type Data = BTreeMap<&'static str, u64>;

#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) key: PublicId,
    pub(crate) data: Data,
    /// The names of the library's own entries.
    own: Vec<String>,
    pub(crate) expires_at: Timestamp,
    pub(crate) locked_until: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Number(u64),
    Other(IgnoredAny),
}

const FIELDS: [&str; 4] = ["app.name", "app.count", "app.user", "app.notice"];

impl Row {
    pub(crate) fn is_tombstone_or_forward(&self) -> bool {
        let names = ["$ended", "$moved"];
        self.own.iter().any(|name| names.contains(&&**name))
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.locked_until.is_some()
    }

    fn new(row: &sqlx::sqlite::SqliteRow) -> Self {
        let key: Vec<u8> = row.get("id");
        let data: Vec<u8> = row.get("data");
        let record: BTreeMap<String, Value> =
            rmp_serde::from_slice(&data).expect("a record is whole");
        let (mut data, mut own) = (Data::new(), Vec::new());
        for (name, value) in record {
            match (FIELDS.iter().find(|field| **field == name), value) {
                (Some(field), Value::Number(value)) => drop(data.insert(field, value)),
                (None, _) if name.starts_with('$') => own.push(name),
                (_, Value::Number(_) | Value::Other(_)) => panic!("an unknown entry: {name}"),
            }
        }
        Self {
            key: PublicId::from_bytes(key.try_into().expect("32 bytes")),
            data,
            own,
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
