//! What a store holds in the end, read as the format of records says.

use std::collections::{BTreeMap, BTreeSet};

use poem_session::{PublicId, SessionId, clock::Timestamp, store::SessionStore};
use serde::Deserialize;

use crate::{history::Field, request::Data, world::Snapshot};

/// A value of a record.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Number(u64),
    /// A mark, or where the record leads.
    Other(serde::de::IgnoredAny),
}

/// The live sessions under these keys.
pub(crate) async fn sessions(
    store: &dyn SessionStore,
    keys: BTreeSet<PublicId>,
    told: &[SessionId],
    began: Timestamp,
    now: Timestamp,
) -> Result<Vec<Snapshot>, String> {
    let mut sessions = Vec::new();
    for key in keys {
        let stored = store.load(key, now).await;
        let Some(stored) = stored.map_err(|error| error.to_string())? else {
            continue;
        };
        let id = told.iter().find(|id| id.public() == key).copied();
        let expires = stored.expires_at.saturating_since(began).as_secs() / 60;
        if let Some(data) = data(&stored.data)? {
            sessions.push((id, data, expires));
        }
    }
    Ok(sessions)
}

/// The data of a live session; none of what is left of others.
fn data(bytes: &[u8]) -> Result<Option<Data>, String> {
    let record: BTreeMap<String, Value> =
        rmp_serde::from_slice(bytes).map_err(|error| format!("a strange record: {error}"))?;
    if record.contains_key("$ended") || record.contains_key("$moved") {
        return Ok(None);
    }
    let mut data = Data::new();
    for (name, value) in record {
        let field = match &*name {
            "model.a" => Field::A,
            "model.b" => Field::B,
            "model.count" => Field::Count,
            "model.flash" => Field::Flash,
            _ => continue,
        };
        let Value::Number(value) = value else {
            return Err(format!("{name} is not a number"));
        };
        data.insert(field, value);
    }
    Ok(Some(data))
}
