//! The ids that a request presents: two cookies of one name, or a stale id beside a live one.

use std::collections::VecDeque;

use poem_session::PublicId;

use crate::{
    ledger::Tombstone,
    request::{Request, Stage, View},
    rules,
};

#[derive(Debug)]
pub(crate) struct Presented {
    /// The keys of the ids that were not looked up yet.
    waiting: VecDeque<PublicId>,
    /// The id that counts of those that were looked up and are not live.
    dead: Option<(PublicId, View)>,
}

impl Presented {
    pub(crate) fn new(keys: impl IntoIterator<Item = PublicId>) -> Self {
        let mut waiting = VecDeque::new();
        for key in keys {
            if !waiting.contains(&key) && waiting.len() < rules::MAX_IDS {
                waiting.push_back(key);
            }
        }
        Self {
            waiting,
            dead: None,
        }
    }

    /// The session of the current id is live, so this id counts.
    pub(crate) fn is_live(&mut self) {
        self.waiting.clear();
        self.dead = None;
    }

    /// There is no live session of this id. An id whose session has ended counts before an unknown one.
    fn is_dead(&mut self, key: PublicId, view: View) {
        let counts = match &self.dead {
            None => true,
            Some((_, before)) => *before == View::Nothing && view != View::Nothing,
        };
        if counts {
            self.dead = Some((key, view));
        }
    }
}

impl Request {
    /// The record of the current id, if it is of no live session.
    fn dead(&self) -> Option<View> {
        match &self.view {
            View::Nothing => Some(View::Nothing),
            View::Forward { until, .. } | View::Ended(Tombstone { until, .. })
                if self.began >= *until =>
            {
                Some(View::Nothing)
            }
            View::Ended(_) => Some(self.view.clone()),
            View::Unasked | View::Live { .. } | View::Forward { .. } => None,
        }
    }

    /// The request looks up the id under this key, if that is the next one.
    pub(crate) fn begins_with_next(&mut self, key: PublicId) {
        let looks_for_id = self.stage == Stage::Loading && self.lock.is_none();
        let is_next = looks_for_id && self.presented.waiting.front() == Some(&key);
        if is_next && (self.view == View::Unasked || self.note_dead()) {
            self.presented.waiting.pop_front();
            self.client.presents(key);
            self.view = View::Unasked;
        }
    }

    /// Notes the current id if it is of no live session.
    fn note_dead(&mut self) -> bool {
        let (Some(view), Some(key)) = (self.dead(), self.client.knows()) else {
            return false;
        };
        self.presented.is_dead(key, view);
        true
    }

    /// The request has looked up its ids.
    pub(crate) fn has_presented(&mut self) -> Result<(), String> {
        if self.lock.is_some() || !self.note_dead() {
            return Ok(());
        }
        if !self.presented.waiting.is_empty() {
            return Err("does not look up all ids".to_owned());
        }
        if let Some((key, view)) = self.presented.dead.take() {
            self.client.presents(key);
            self.view = view;
        }
        Ok(())
    }
}
