//! The handler of a request: what it finds, and what it may be told of its save.

use poem_session_tests::front_end::Response;

use crate::{
    application::Failure,
    board::Seen,
    history::{Begins, Field, Op},
    ledger::{Ledger, Tombstone},
    pending::{Intent, Pending},
    request::{Request, Stage, View},
    save::Save,
};

impl Request {
    /// The handler has done a part of its work.
    pub(crate) fn handles(&mut self, seen: &Seen) -> Result<(), String> {
        match self.stage {
            _ if self.failed => return Err("a handler runs after a failure".to_owned()),
            Stage::Loading => self.begins()?,
            Stage::Locking => self.has_locked()?,
            Stage::Saving => self.is_acknowledged()?,
            Stage::Handling => return Err("a handler runs without saving".to_owned()),
        }
        self.stage = Stage::Handling;
        let base = self.view.data();
        let is_new = self.is_new;
        let mut read = Vec::new();
        for op in std::mem::take(&mut self.parts[self.next_part].ops) {
            self.is_new |= matches!(op, Op::Reset | Op::Destroy);
            if op == Op::Unlock {
                self.unlocks();
            }
            read.push(self.pending.act(op, &base));
        }
        self.next_part += 1;
        let expected = Seen { is_new, read };
        if *seen == expected {
            return Ok(());
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

    /// The handler goes on from a gate: it returns, saves early, or locks the session.
    pub(crate) fn goes_on(&mut self) {
        let next = self.parts.get(self.next_part);
        let locks = next.is_some_and(|part| part.begins == Begins::ByLocking);
        if locks || next.is_none() {
            self.unlocks();
        }
        self.stage = if locks { Stage::Locking } else { Stage::Saving };
        self.save.begins();
    }

    /// An early save or a lock returns an error.
    pub(crate) fn is_told(&mut self, failure: Failure, now: u64) -> Result<(), String> {
        match failure {
            Failure::Store if self.failed => Ok(()),
            _ if self.failed => Err("a failure is another one".to_owned()),
            Failure::Store => Err("the store fails for no reason".to_owned()),
            Failure::Refused => self.is_refused(now),
            Failure::InDoubt => self.gives_up_updates(),
        }
    }

    /// The handler saves again, or returns the error.
    pub(crate) fn goes_on_after(&mut self, failure: Failure, repeats: bool) {
        if !repeats {
            self.next_part = self.parts.len();
            self.status = if failure == Failure::Store { 503 } else { 409 };
            self.unlocks();
        }
        self.stage = Stage::Saving;
        self.failed = false;
        self.save.begins();
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
        self.save = Save::default();
        self.has_saved_locked();
        Ok(())
    }

    /// The client receives its response.
    pub(crate) fn responds(
        &mut self,
        response: &Response,
        ledger: &Ledger,
        now: u64,
        skew: u64,
    ) -> Result<(), String> {
        if self.ends_alone {
            return Err("a full store keeps a session that was destroyed".to_owned());
        }
        match response.status {
            503 if self.failed => {}
            _ if self.failed => return Err("a failure is acknowledged".to_owned()),
            409 if self.is_refused(now).is_ok() => {}
            status if status == self.status && self.is_at_end() => {
                if status < 500 {
                    self.is_acknowledged()?;
                }
            }
            _ => return Err("a status for no reason".to_owned()),
        }
        self.client.is_sent(response.update, ledger, now, skew)
    }

    /// Changes are refused if the session has ended, or if the lock is lost. A request without changes is not.
    fn is_refused(&mut self, now: u64) -> Result<(), String> {
        if self.stage == Stage::Loading {
            self.has_presented()?;
        }
        let has_ended = matches!(self.view, View::Ended(_));
        let locks_nothing = has_ended
            && match self.stage {
                Stage::Loading => self.exclusive,
                stage => stage == Stage::Locking,
            };
        let has_changes = self.stage == Stage::Saving && !self.pending.is_empty();
        let lock = self.lock.as_ref().filter(|lock| lock.may_be_lost(now));
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
