//! The handler of a request: what it finds, and what it may be told of its save.

use poem_session::PublicId;
use poem_session_tests::front_end::Response;

use crate::{
    board::Seen,
    history::{Field, Op},
    ledger::{Ledger, Tombstone},
    pending::{Intent, Pending},
    request::{Request, Stage, View},
};

impl Request {
    /// The handler has done a part of its work. Returns the key of the session if the handler has begun to use
    /// it exclusively.
    pub(crate) fn handles(&mut self, seen: &Seen) -> Result<Option<PublicId>, String> {
        let mut locked = None;
        match self.stage {
            _ if self.failed => return Err("a handler runs after a failure".to_owned()),
            Stage::Loading => {
                self.begins()?;
                locked = self.lock.as_ref().map(|lock| lock.key);
            }
            Stage::Saving => self.is_acknowledged()?,
            Stage::Handling => return Err("a handler runs without saving".to_owned()),
        }
        self.stage = Stage::Handling;
        let base = self.view.data();
        let is_new = self.is_new;
        let mut read = Vec::new();
        for op in std::mem::take(&mut self.parts[self.next_part]) {
            self.is_new |= matches!(op, Op::Reset | Op::Destroy);
            read.push(self.pending.act(op, &base));
        }
        self.next_part += 1;
        let expected = Seen { is_new, read };
        if *seen == expected {
            return Ok(locked);
        }
        Err(format!(
            "the handler finds {seen:?} in place of {expected:?}"
        ))
    }

    fn begins(&mut self) -> Result<(), String> {
        self.has_presented()?;
        match &self.view {
            View::Live { key, .. } => {
                (self.was_live, self.is_new) = (true, false);
                match self.lock.as_mut().filter(|lock| lock.key == *key) {
                    Some(lock) => lock.is_used = true,
                    None if self.exclusive => return Err("runs without its lock".to_owned()),
                    None => {}
                }
            }
            View::Nothing => {}
            View::Ended(_) if !self.exclusive => {}
            view => return Err(format!("a handler runs with {view:?}")),
        }
        Ok(())
    }

    /// The handler returns, or saves early.
    pub(crate) fn begins_to_save(&mut self) {
        self.stage = Stage::Saving;
    }

    /// A save has succeeded: all changes are stored, or there was nothing to store.
    fn is_acknowledged(&mut self) -> Result<(), String> {
        let data = self.pending.alone();
        match (&self.view, self.pending.intent) {
            _ if !self.has_work() => {}
            (View::Nothing, Intent::Keep | Intent::Regenerate) if data.is_empty() => {}
            (View::Nothing, Intent::Destroy) if data.is_empty() => {
                if self.client.knows().is_some() {
                    self.client.must_forget();
                    self.client.replied();
                }
            }
            // Another request has destroyed the session first.
            (
                View::Ended(Tombstone {
                    destroyed: true, ..
                }),
                Intent::Destroy,
            ) if data.keys().all(|field| *field == Field::Flash) => {
                self.client.may_know_better();
                self.client.replied();
                self.pending = Pending::default();
            }
            (view, _) => {
                let pending = &self.pending;
                return Err(format!(
                    "acknowledges {pending:?} without a write: {view:?}"
                ));
            }
        }
        self.pending.clear_edits();
        Ok(())
    }

    /// The client receives its response.
    pub(crate) fn responds(
        &mut self,
        response: &Response,
        ledger: &Ledger,
        now: u64,
    ) -> Result<(), String> {
        match response.status {
            503 if self.failed => {}
            _ if self.failed => return Err("a failure is acknowledged".to_owned()),
            409 => self.is_refused(now)?,
            status if status == self.status && self.is_at_end() => {
                if status < 500 {
                    self.is_acknowledged()?;
                }
            }
            _ => return Err("a status for no reason".to_owned()),
        }
        self.client.is_sent(response.update, ledger, now)
    }

    /// Changes are refused if the session has ended, or if the lock is lost. A request without changes is not.
    fn is_refused(&mut self, now: u64) -> Result<(), String> {
        if self.stage == Stage::Loading {
            self.has_presented()?;
        }
        let has_ended = matches!(self.view, View::Ended(_));
        let locks_nothing = self.stage == Stage::Loading && self.exclusive && has_ended;
        let has_changes = self.stage == Stage::Saving && !self.pending.is_empty();
        let lock = self.lock.as_ref().filter(|lock| now >= lock.until);
        let has_lost_lock = lock.is_some_and(|lock| !self.has_moved_from(lock.key));
        if locks_nothing || has_changes && has_ended || has_lost_lock {
            return Ok(());
        }
        let (pending, view) = (&self.pending, &self.view);
        Err(format!("refused for no reason: {pending:?}, {view:?}"))
    }

    /// A job that revokes the session has returned this. `None` is an error.
    pub(crate) fn is_revoked(&self, result: Option<bool>) -> Result<(), String> {
        let is_over = !matches!(self.view, View::Live { .. } | View::Unasked);
        let expected = match result {
            None => self.failed,
            Some(ended) => !self.failed && is_over && ended == self.has_revoked,
        };
        if expected {
            return Ok(());
        }
        Err(format!("revoking returns {result:?}: {:?}", self.view))
    }
}
