//! [`Next`]: the session as a save would store it.

use bytes::Bytes;

use crate::{
    changes::Changes,
    clock::Timestamp,
    field::Field,
    lifecycle::{Intent, Rules, origin::Base},
    record::{self, Record, Standing, Term},
};

/// The stored session, unless the request leaves it, with the changes so far.
pub(super) struct Next<'a> {
    pub(super) base: Option<&'a Base>,
    pub(super) changes: &'a Changes,
    pub(super) intent: Intent,
    /// Whether the request does not count as use of the session.
    pub(super) passive: bool,
}

impl<'a> Next<'a> {
    /// The record that the changes are made on.
    pub(super) fn base_record(&self) -> &'a Record {
        self.base.map_or(Record::empty(), Base::record)
    }

    fn standing(&self) -> Standing {
        let base = self.base_record();
        let is_set = |(field, value): &(Field, Option<&Bytes>)| {
            value.is_some() && !record::is_own(field.name().as_bytes())
        };
        let mut set = self.changes.values().filter(is_set);
        let sets_data = set.clone().any(|(field, _)| !field.is_flash());
        let before = base.standing();
        let has_data = sets_data || before == Standing::Anonymous && base.has_data();
        let asks_for_id = matches!(self.intent, Intent::Regenerate | Intent::Reset);
        if before == Standing::Established || asks_for_id && has_data {
            Standing::Established
        } else if sets_data {
            Standing::Anonymous
        } else if base.is_empty() && set.next().is_some() {
            Standing::FlashOnly
        } else {
            before
        }
    }

    /// The term of the session. A new session gets the time of its creation when it is stored.
    pub(super) fn term(&self) -> Term {
        self.term_of(self.standing())
    }

    /// The term of the session with this standing.
    fn term_of(&self, standing: Standing) -> Term {
        let base = self.base_record();
        let idle = self.changes.value(record::IDLE, base);
        Term {
            idle: idle.as_deref().and_then(record::duration),
            flash_only: standing == Standing::FlashOnly,
            ..base.term()
        }
    }

    /// The record to store. It names when its id was made if `gets_new_id`.
    pub(super) fn record(&self, gets_new_id: bool, rules: &Rules, now: Timestamp) -> Record {
        let base = self.base_record();
        let standing = self.standing();
        let term = self.term_of(standing);
        let is_created = base.is_empty();
        let moment = (is_created || gets_new_id).then(|| record::number(now.as_millis()));
        let timeout = record::timeout_entry(rules.expiry.idle(term), term.idle);
        let encoded_timeout = timeout.map(record::number_of_millis);
        let own = [
            is_created.then_some((record::CREATED, moment.as_ref())),
            (gets_new_id && !is_created).then_some((record::ROTATED, moment.as_ref())),
            (standing != base.standing()).then_some((record::CLASS, standing.encoded())),
            (timeout != base.timeout_entry())
                .then_some((record::TIMEOUT, encoded_timeout.as_ref())),
        ];
        base.with(own.into_iter().flatten().chain(self.changes.values()))
    }

    /// The expiry to write for the use of a session that has not changed, if one is to be written.
    pub(super) fn touch_due(&self, rules: &Rules, now: Timestamp) -> Option<Timestamp> {
        let base = self.base.filter(|_| !self.passive)?;
        let term = base.record().term();
        rules.expiry.touch_due(term, base.expires_at(), now)
    }

    /// The expiry of the session when it is stored with this term now. Under the same id it moves at intervals only, as
    /// the client must be sent each change.
    pub(super) fn expires_at(
        &self,
        term: Term,
        keeps_id: bool,
        rules: &Rules,
        now: Timestamp,
    ) -> Timestamp {
        let Some(base) = self.base else {
            return rules.expiry.expires_at(term, now);
        };
        let (record, before) = (base.record(), base.expires_at());
        let is_same = (record.term(), record.timeout()) == (term, rules.expiry.idle(term));
        let used = if is_same && keeps_id {
            rules.expiry.next(term, before, now).unwrap_or(before)
        } else {
            rules.expiry.expires_at(term, now)
        };
        if self.passive { used.min(before) } else { used }
    }
}
