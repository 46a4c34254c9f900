//! The state machine without a store: each test plays the part of the store, or of another request.

mod client;
mod ending;
mod in_doubt;
mod merging;
mod reading;
mod rotating;
mod saving;
mod standing;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{
    op::{Call, Reply},
    *,
};
use crate::{
    config::SessionConfig,
    error::SaveError,
    record::RecordKind,
    store::{Stored, Version},
};

const A: Field = Field::new("ns.a");
const B: Field = Field::new("ns.b");
const COUNT: Field = Field::new("ns.count");
const NOTICE: Field = Field::new("ns.notice").with_flash();

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn later(minutes: u64) -> Timestamp {
    NOW.saturating_add(Duration::from_mins(minutes))
}

/// The default rules, with ids that rotate after ten minutes, and that are numbered.
fn rules() -> Rules {
    let config = SessionConfig {
        rotate_every: Some(Duration::from_mins(10)),
        ..SessionConfig::default()
    };
    let number = AtomicU64::new(0);
    let new_id = move || id(number.fetch_add(1, Ordering::Relaxed));
    Rules::new(&config, Arc::new(new_id))
}

fn id(number: u64) -> SessionId {
    SessionId::parse(format!("{number:032}")).unwrap()
}

fn bytes(n: u8) -> Bytes {
    Bytes::from(vec![n])
}

/// A record that was created at `NOW`.
fn record(values: &[(Field, u8)]) -> Record {
    let created = record::number(NOW.as_millis());
    let values: Vec<_> = values.iter().map(|(f, n)| (*f, bytes(*n))).collect();
    let values = values.iter().map(|(field, value)| (*field, Some(value)));
    Record::empty().with(values.chain([(record::CREATED, Some(&created))]))
}

fn stored(record: &Record, version: u64) -> Loaded {
    Loaded {
        newer_id: None,
        key: known_key(),
        record: record.clone(),
        version: Version::new(version),
        expires_at: later(30),
    }
}

fn live(values: &[(Field, u8)], version: u64) -> Resolution {
    Resolution::Live(stored(&record(values), version))
}

/// The id under which the tests load a session.
fn known_id() -> SessionId {
    id(100)
}

fn known_key() -> PublicId {
    known_id().public()
}

/// The session after another request has rotated its id. `id` is the new one if the request can read it.
fn rotated(values: &[(Field, u8)], id: Option<SessionId>) -> Resolution {
    Resolution::Live(Loaded {
        newer_id: id.map(Box::new),
        key: rotated_id().public(),
        ..stored(&record(values), 5)
    })
}

fn rotated_id() -> SessionId {
    id(200)
}

fn cookie() -> Presented {
    Presented::new(known_id(), true, NOW)
}

fn load(resolution: Resolution) -> Lifecycle {
    let mut session = Lifecycle::default();
    session.loaded(cookie(), known_key(), resolution);
    session
}

fn loaded(values: &[(Field, u8)]) -> Lifecycle {
    load(live(values, 1))
}

fn set(session: &mut Lifecycle, field: Field, n: u8) {
    session.put(field, Some(bytes(n)), &rules()).unwrap();
}

fn add(session: &mut Lifecycle, n: u8) {
    let mut updater: Updater =
        Box::new(move |value| Ok(Some(bytes(value.map_or(0, |v| v[0]) + n))));
    let before = session.value(COUNT);
    let after = updater(before.as_ref()).unwrap();
    let overtaken = session.update(COUNT, before.as_ref(), after, updater, &rules());
    assert!(overtaken.unwrap().is_none());
}

fn rerun(session: &mut Lifecycle) {
    while let Some((field, mut updaters, start)) = session.take_stale() {
        let value = updaters
            .iter_mut()
            .try_fold(start, |value, (_, updater)| updater(value.as_ref()))
            .unwrap();
        session.put_back(field, updaters, Rerun::Value(value));
    }
}

fn plan(session: &mut Lifecycle, rules: &Rules, now: Timestamp) -> Option<WriteOp> {
    session.plan(rules, now, true).unwrap()
}

fn written(version: u64) -> Reply {
    Reply::Written(Version::new(version))
}

fn conflict() -> Reply {
    Reply::Conflict(Stored {
        data: Bytes::new(),
        version: Version::new(9),
        expires_at: later(30),
    })
}

/// The values of a write.
fn values(write: &crate::store::Write) -> Vec<(String, u8)> {
    match RecordKind::parse(write.data.clone()).unwrap() {
        RecordKind::Live(record) => record
            .data()
            .map(|entry| {
                (
                    String::from_utf8(entry.key.to_vec()).unwrap(),
                    entry.value[0],
                )
            })
            .collect(),
        other => panic!("not a session: {other:?}"),
    }
}

fn replaced(op: &WriteOp) -> Vec<(String, u8)> {
    match op.call() {
        Call::Replace { write, .. } => values(&write),
        call => panic!("not a replace: {call:?}"),
    }
}

fn is_tombstone(write: &crate::store::Write, reason: EndReason) -> bool {
    let parsed = RecordKind::parse(write.data.clone()).unwrap();
    matches!(parsed, RecordKind::Ended(found) if found.reason == reason)
}

fn pair(field: Field, n: u8) -> (String, u8) {
    (field.name().to_owned(), n)
}

/// A loaded session after `change` was saved, when its expiry was due to move.
fn saved(change: fn(&mut Lifecycle)) -> Lifecycle {
    let (mut session, rules) = (loaded(&[(A, 1)]), rules());
    change(&mut session);
    if let Some(op) = plan(&mut session, &rules, later(3)) {
        session.apply(op, written(2)).unwrap();
    }
    session
}

/// Saves the planned write after another request has stored `newer` first.
fn save_after(
    session: &mut Lifecycle,
    rules: &Rules,
    newer: Resolution,
) -> Result<Transition, SaveError> {
    let op = plan(session, rules, NOW).expect("something to save");
    match session.apply(op, conflict())? {
        Transition::Conflict(conflict) => session.merge(newer, conflict.covers),
        other => panic!("not a conflict: {other:?}"),
    }
}
