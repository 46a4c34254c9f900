//! When a session expires, and when its use is written to the store.

use std::time::Duration;

use crate::{clock::Timestamp, record::Term};

/// How often the use of a session moves its expiry in the store and in the cookie.
///
/// A read of a session counts as use and moves its idle timeout. A write at every read would double the load
/// of the store, so these writes are throttled: a session may expire early by at most the interval. The expiry of a
/// session that is changed moves at the same interval, so most responses need not send the cookie again. A response
/// does not wait for a write that takes long: see
/// [`SessionConfig::store_timeout`](crate::SessionConfig::store_timeout).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TouchPolicy {
    /// At most once in a tenth of the idle timeout.
    #[default]
    Throttled,
    /// At most once in this time. Zero writes at every read.
    AtMostEvery(Duration),
    /// Never: only a change of the session moves its idle timeout, at most once in a tenth of it.
    OnChange,
}

/// The rules by which sessions expire.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expiry {
    pub(crate) idle: Duration,
    pub(crate) absolute: Option<Duration>,
    /// The idle timeout of a session that has held nothing but flash values, if it is the shorter one.
    pub(crate) flash: Duration,
    pub(crate) touch: TouchPolicy,
}

impl Expiry {
    /// When a session expires that is used now and never again: the earlier of now + idle timeout and
    /// creation + absolute timeout.
    pub(crate) fn expires_at(&self, term: Term, now: Timestamp) -> Timestamp {
        let idle_end = now.saturating_add(self.idle(term));
        self.deadline(term)
            .map_or(idle_end, |deadline| idle_end.min(deadline))
    }

    /// When a stored session expires by the rules of today. They may be stricter than those of the time when its
    /// expiry `stored` was computed, with the idle timeout `timeout`.
    ///
    /// The last use follows from the two. Close to the absolute timeout, the expiry does not move, so the last use
    /// may be later than that. The session then expires too early, never too late.
    pub(crate) fn of_stored(&self, term: Term, timeout: Duration, stored: Timestamp) -> Timestamp {
        let last_use = stored.saturating_sub(timeout).max(term.created_at);
        stored.min(self.expires_at(term, last_use))
    }

    /// The idle timeout of a session.
    pub(crate) fn idle(&self, term: Term) -> Duration {
        let idle = term.idle.unwrap_or(self.idle);
        let idle = if term.flash_only {
            idle.min(self.flash)
        } else {
            idle
        };
        // As precise as a record stores it.
        Duration::from_millis(u64::try_from(idle.as_millis()).unwrap_or(u64::MAX))
    }

    fn deadline(&self, term: Term) -> Option<Timestamp> {
        self.absolute
            .map(|absolute| term.created_at.saturating_add(absolute))
    }

    /// The expiry to write now for a session that was read and not changed, if a write is due.
    pub(crate) fn touch_due(
        &self,
        term: Term,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if self.touch == TouchPolicy::OnChange {
            return None;
        }
        self.next(term, expires_at, now)
    }

    /// The expiry to write now for a session that is used or changed, if it is to move.
    pub(crate) fn next(
        &self,
        term: Term,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let idle = self.idle(term);
        let interval = match self.touch {
            // Shorter than the session's own idle timeout.
            TouchPolicy::AtMostEvery(interval) if interval < idle => interval,
            _ => idle / 10,
        };
        let target = self.expires_at(term, now);
        let last_use = expires_at.saturating_sub(idle);
        (target > expires_at && now.saturating_since(last_use) >= interval).then_some(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_millis(minutes * 60_000)
    }

    fn term(idle: Option<Duration>) -> Term {
        Term {
            created_at: at(0),
            idle,
            flash_only: false,
        }
    }

    const RULES: Expiry = Expiry {
        idle: Duration::from_mins(30),
        absolute: Some(Duration::from_hours(1)),
        flash: Duration::from_mins(5),
        touch: TouchPolicy::Throttled,
    };

    #[test]
    fn the_earlier_timeout_decides() {
        assert_eq!(RULES.expires_at(term(None), at(10)), at(40));
        assert_eq!(RULES.expires_at(term(None), at(45)), at(60));
        assert_eq!(RULES.expires_at(term(Some(MINUTE)), at(10)), at(11));
    }

    #[test]
    fn a_stored_session_expires_by_the_stricter_of_two_rules() {
        let used_at_20 = |timeout: u64| {
            let stored = at(20 + timeout).min(at(90));
            RULES.of_stored(term(None), Duration::from_mins(timeout), stored)
        };
        assert_eq!(used_at_20(30), at(50), "the rules are the same");
        assert_eq!(used_at_20(10), at(30), "the idle timeout was shorter");
        assert_eq!(used_at_20(60), at(50), "the idle timeout was longer");
        let used_at_50 = RULES.of_stored(term(None), RULES.idle, at(80));
        assert_eq!(used_at_50, at(60), "there was no absolute timeout");
        let own = RULES.of_stored(term(Some(MINUTE)), MINUTE, at(21));
        assert_eq!(own, at(21), "the session has its own");
        // With an idle timeout that never passes, the last use is not known.
        let unlimited = RULES.of_stored(term(None), Duration::MAX, at(90));
        assert_eq!(unlimited, at(30));
    }

    #[test]
    fn a_session_of_flash_values_alone_has_the_shorter_idle_timeout() {
        let flash_only = |idle| Term {
            flash_only: true,
            ..term(idle)
        };
        assert_eq!(RULES.expires_at(flash_only(None), at(10)), at(15));
        assert_eq!(RULES.expires_at(flash_only(Some(MINUTE)), at(10)), at(11));
        let due = RULES.touch_due(flash_only(None), at(5), at(1));
        assert_eq!(due, Some(at(6)), "the interval is a tenth of it");
    }

    #[test]
    fn without_an_absolute_timeout_there_is_no_deadline() {
        let rules = Expiry {
            absolute: None,
            ..RULES
        };
        let years = at(100 * 365 * 24 * 60);
        assert_eq!(
            rules.expires_at(term(None), years),
            years.saturating_add(RULES.idle)
        );
    }

    #[test]
    fn a_touch_is_due_after_a_tenth() {
        let due = |now| RULES.touch_due(term(None), at(30), now);
        assert_eq!(due(at(2)), None);
        assert_eq!(due(at(3)), Some(at(33)));
        assert_eq!(due(at(0)), None, "the expiry would not move");
        let every = Expiry {
            touch: TouchPolicy::AtMostEvery(Duration::ZERO),
            ..RULES
        };
        assert_eq!(every.touch_due(term(None), at(30), at(1)), Some(at(31)));
        // An interval as long as the idle timeout would never pass.
        let too_long = Expiry {
            touch: TouchPolicy::AtMostEvery(RULES.idle),
            ..RULES
        };
        assert_eq!(too_long.touch_due(term(None), at(30), at(3)), Some(at(33)));
        let on_change = Expiry {
            touch: TouchPolicy::OnChange,
            ..RULES
        };
        assert_eq!(on_change.touch_due(term(None), at(30), at(29)), None);
    }

    #[test]
    fn a_touch_never_reaches_past_the_deadline() {
        assert_eq!(RULES.touch_due(term(None), at(58), at(50)), Some(at(60)));
        assert_eq!(RULES.touch_due(term(None), at(60), at(55)), None);
    }
}
