//! When sessions end, and when their use is written down.

use std::time::Duration;

use crate::clock::Timestamp;

/// How often the use of a session that nobody changes is written to the store.
///
/// Reading a session is activity and moves its idle timeout. Writing that down at every read would
/// double the load on the store, so it is throttled: a session may end early by at most the interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Touch {
    /// At most once in a tenth of the idle timeout.
    #[default]
    Tenth,
    /// At most once in this time; zero is at every read.
    Every(Duration),
    /// Never: only a change of the session moves its idle timeout.
    OnChange,
}

/// The rules by which a session ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expiry {
    pub(crate) idle: Duration,
    pub(crate) absolute: Option<Duration>,
    pub(crate) touch: Touch,
}

/// What of one session bears on its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Term {
    pub(crate) created_at: Timestamp,
    /// The session's own idle timeout, where it has one.
    pub(crate) idle: Option<Duration>,
}

impl Expiry {
    /// When a session ends that is used now and never again:
    /// min(now + idle timeout, creation + absolute timeout).
    pub(crate) fn expires_at(&self, term: Term, now: Timestamp) -> Timestamp {
        let idle_end = now.saturating_add(term.idle.unwrap_or(self.idle));
        self.deadline(term)
            .map_or(idle_end, |deadline| idle_end.min(deadline))
    }

    /// Whether the absolute timeout has passed. The idle timeout is the store's expiry; this one is
    /// looked at on load as well, so that turning it on applies to sessions that exist.
    pub(crate) fn is_past_deadline(&self, term: Term, now: Timestamp) -> bool {
        self.deadline(term).is_some_and(|deadline| deadline <= now)
    }

    fn deadline(&self, term: Term) -> Option<Timestamp> {
        self.absolute
            .map(|absolute| term.created_at.saturating_add(absolute))
    }

    /// The expiry to write down now for a session that was read and not changed, if one is due.
    pub(crate) fn touch_due(
        &self,
        term: Term,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let idle = term.idle.unwrap_or(self.idle);
        let interval = match self.touch {
            Touch::Tenth => idle / 10,
            // For a session whose own idle timeout is shorter than that.
            Touch::Every(interval) if interval >= idle => idle / 10,
            Touch::Every(interval) => interval,
            Touch::OnChange => return None,
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
        }
    }

    const RULES: Expiry = Expiry {
        idle: Duration::from_mins(30),
        absolute: Some(Duration::from_hours(1)),
        touch: Touch::Tenth,
    };

    #[test]
    fn the_earlier_limit_ends_it() {
        assert_eq!(RULES.expires_at(term(None), at(10)), at(40));
        assert_eq!(RULES.expires_at(term(None), at(45)), at(60));
        assert_eq!(RULES.expires_at(term(Some(MINUTE)), at(10)), at(11));
        assert!(!RULES.is_past_deadline(term(None), at(59)));
        assert!(RULES.is_past_deadline(term(None), at(60)));
    }

    #[test]
    fn without_absolute_timeout_it_goes_on() {
        let rules = Expiry {
            absolute: None,
            ..RULES
        };
        assert!(!rules.is_past_deadline(term(None), Timestamp::from_millis(u64::MAX)));
    }

    #[test]
    fn a_touch_is_due_after_a_tenth() {
        let due = |now| RULES.touch_due(term(None), at(30), now);
        assert_eq!(due(at(2)), None);
        assert_eq!(due(at(3)), Some(at(33)));
        assert_eq!(due(at(0)), None, "nothing would move");
        let every = Expiry {
            touch: Touch::Every(Duration::ZERO),
            ..RULES
        };
        assert_eq!(every.touch_due(term(None), at(30), at(1)), Some(at(31)));
        // An interval as long as the session lives could never pass within its life.
        let too_long = Expiry {
            touch: Touch::Every(RULES.idle),
            ..RULES
        };
        assert_eq!(too_long.touch_due(term(None), at(30), at(3)), Some(at(33)));
        let on_change = Expiry {
            touch: Touch::OnChange,
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
