//! The lock of a request.

use poem_session::PublicId;

use crate::{
    board::Reply,
    request::{GONE, Request, Stage, View},
    rules,
};

/// The end of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// The end of the request, whose handler is exclusive.
    RequestEnds,
    /// The handler drops the lock.
    Dropped,
    /// The handler has dropped the lock, and changes are to be saved.
    Saved,
}

#[derive(Debug)]
pub(crate) struct Lock {
    pub(crate) key: PublicId,
    /// The minute at which the store was asked for it.
    pub(crate) since: u64,
    pub(crate) until: u64,
    /// Until when it is held if the store has granted more of it before a merge.
    extended_until: u64,
    lasts: Until,
    /// Whether the handler has begun to run with the lock.
    pub(crate) is_used: bool,
    /// Whether another request has taken it over since.
    is_lost: bool,
    /// Whether it was taken over before the session was loaded with it.
    pub(crate) is_excused: bool,
}

impl Lock {
    fn new(key: PublicId, since: u64, lasts: Until) -> Self {
        Self {
            lasts,
            key,
            since,
            until: since + rules::LEASE,
            extended_until: 0,
            is_used: false,
            is_lost: false,
            is_excused: false,
        }
    }

    /// Whether the lease has ended by the clock of the holder, or another request has it.
    pub(crate) fn may_be_lost(&self, now: u64) -> bool {
        self.is_lost || now >= self.until
    }
}

impl Request {
    /// The store has replied to a call for the lock, which was sent at the minute `then`.
    pub(crate) fn locks(&mut self, key: PublicId, reply: Reply, then: u64) -> Result<(), String> {
        let is_granted = reply == Reply::Done;
        let held = self.lock.as_mut().filter(|lock| lock.key == key);
        if let (Stage::Saving, Some(lock)) = (self.stage, held) {
            // Another request wrote first. If the lease was taken over and released, the store grants it anew: the
            // changes are then made on top of those of the other holder, as they are without a lock.
            lock.is_lost = !is_granted;
            lock.is_excused = false;
            if is_granted {
                lock.extended_until = then + rules::LEASE;
            }
            return Ok(());
        }
        if !matches!(self.view, View::Live { key: current, .. } if current == key) {
            return Err(format!("locks another session than {:?}", self.view));
        }
        let lasts = match self.stage {
            Stage::Loading if self.exclusive => Until::RequestEnds,
            Stage::Locking => Until::Dropped,
            // To rotate the id.
            _ => return Ok(()),
        };
        self.lock = is_granted.then(|| Lock::new(key, then, lasts));
        Ok(())
    }

    /// The session to lock is gone.
    pub(crate) fn finds_nothing_to_lock(&mut self) {
        if matches!(self.stage, Stage::Loading | Stage::Locking) {
            self.view = GONE;
            self.client.may_know_better();
        }
    }

    /// The handler goes on with the lock that it has asked for, unless there was nothing to lock.
    pub(crate) fn has_locked(&mut self) -> Result<(), String> {
        match (&self.view, &mut self.lock) {
            (View::Live { key, .. }, Some(lock)) if lock.key == *key => {
                if lock.lasts == Until::Saved {
                    lock.lasts = Until::Dropped;
                }
                lock.is_used = true;
                Ok(())
            }
            (View::Nothing, _) => Ok(()),
            (view, lock) => Err(format!("goes on with {lock:?} and {view:?}")),
        }
    }

    /// The handler drops its lock. The lock lasts until the changes are saved.
    pub(crate) fn unlocks(&mut self) {
        let has_work = self.has_work();
        if let Some(lock) = self
            .lock
            .as_mut()
            .filter(|lock| lock.lasts == Until::Dropped)
        {
            lock.lasts = Until::Saved;
        }
        if !has_work {
            self.has_saved_locked();
        }
    }

    /// There is nothing more to save.
    pub(crate) fn has_saved_locked(&mut self) {
        self.lock.take_if(|lock| lock.lasts == Until::Saved);
    }

    /// Whether the request may write as far as its lock is concerned.
    pub(crate) fn may_write_locked(&self, then: u64) -> bool {
        self.lock.as_ref().is_none_or(|lock| {
            let until = lock.until.max(lock.extended_until);
            let holds = then < until && (!lock.is_lost || lock.is_excused);
            holds || self.has_moved_from(lock.key)
        })
    }

    /// Whether the lock no longer matters, as no other request knows the current id.
    pub(crate) fn has_moved_from(&self, locked: PublicId) -> bool {
        match &self.view {
            View::Live { key, .. } => *key != locked && !self.is_forwarded(),
            view => *view == View::Nothing,
        }
    }

    /// Whether the request uses the session under this key exclusively, and its lease lasts at this minute.
    pub(crate) fn holds(&self, locked: PublicId, minute: u64) -> bool {
        let lock = self.lock.as_ref();
        let held = lock.is_some_and(|lock| {
            lock.is_used && lock.key == locked && minute < lock.until && !lock.is_lost
        });
        // When all is saved, another request cannot disturb this one.
        let lasts = match lock.map(|lock| lock.lasts) {
            Some(Until::RequestEnds) => !self.is_at_end() || self.stage != Stage::Saving,
            Some(Until::Dropped) => self.stage != Stage::Saving,
            Some(Until::Saved) | None => false,
        };
        held && (lasts || self.has_work())
    }

    /// Another request has taken over the expired lease of this session.
    ///
    /// The new version keeps the holder from writing. It does not if the holder has still to load the session, as it
    /// then loads the new version: a renewal would find out that the lease is lost, but nothing is renewed here.
    pub(crate) fn is_taken_over(&mut self, locked: PublicId) {
        if let Some(lock) = self.lock.as_mut().filter(|lock| lock.key == locked) {
            lock.is_excused |= !lock.is_used;
            lock.is_lost = true;
        }
    }
}
