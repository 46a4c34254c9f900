//! How large a session may be, in bytes and in keys.

use bytes::Bytes;

use crate::{
    error::{SaveError, SetError},
    field::Field,
    record::{self, Record, Standing},
};

/// The size limits of an application.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of the record of one session.
    pub(crate) max_session_size: usize,
    /// Bytes of one encoded value.
    pub(crate) max_value_size: usize,
    /// Keys of one session.
    pub(crate) max_keys: usize,
    /// Whether ids are rotated, so that a save may add `$rotated`.
    pub(crate) with_rotation: bool,
}

/// A session is over a limit.
#[derive(Debug, PartialEq)]
enum Excess {
    Size { size: usize, limit: usize },
    Keys { keys: usize, limit: usize },
}

impl Limits {
    /// Checks a value that is about to be set, in a session of the record `base` with the unsaved changes
    /// `pending`.
    pub(crate) fn check_set<'a>(
        &self,
        base: &Record,
        pending: impl Iterator<Item = (Field, Option<&'a Bytes>)> + Clone,
        field: Field,
        value: &Bytes,
    ) -> Result<(), SetError> {
        let (key, size, limit) = (field.name(), value.len(), self.max_value_size);
        if size > limit {
            return Err(SetError::ValueTooLarge { key, size, limit });
        }
        // An upper bound first, because nearly every session is far below the limits.
        let added: usize = pending
            .clone()
            .map(|(field, value)| field.name().len() + value.map_or(0, Bytes::len) + 8)
            .sum();
        let most_bytes = base.bytes().len() + added + key.len() + size + 8 + self.reserved(base);
        let most_keys = base.len() + pending.clone().count() + 1;
        if most_bytes <= self.max_session_size && most_keys <= self.max_keys {
            return Ok(());
        }
        let with_others = base.with(pending);
        let is_new_key = with_others.get(field).is_none() && !record::is_own(key.as_bytes());
        let next = with_others.with([(field, Some(value))]);
        let keys = next.data().count();
        let excess = if is_new_key && keys > self.max_keys {
            let limit = self.max_keys;
            Err(Excess::Keys { keys, limit })
        } else if next.bytes().len() <= with_others.bytes().len() {
            // A session that was larger before the limit was lowered may shrink.
            Ok(())
        } else {
            self.check_size(next.bytes().len() + self.reserved(base))
        };
        excess.map_err(|excess| excess.of_key(key))
    }

    /// Checks a record that is about to be stored in place of `base`.
    pub(crate) fn check_record(&self, next: &Record, base: &Record) -> Result<(), SaveError> {
        let size = next.bytes().len();
        // A session that was larger before the limit was lowered may shrink.
        if size > base.bytes().len() + self.reserved(base) {
            self.check_size(size)?;
        }
        let limit = self.max_keys;
        if next.len() > limit {
            let keys = next.data().count();
            // A session that had more keys before the limit was lowered may keep them.
            if keys > limit && keys > base.data().count() {
                return Err(Excess::Keys { keys, limit }.into());
            }
        }
        Ok(())
    }

    /// The bytes of the library's own entries that a save may add to `base`.
    fn reserved(&self, base: &Record) -> usize {
        let size_of = |field: Field| record::NUMBER_SIZE + field.name().len();
        let created = base.is_empty().then_some(record::CREATED);
        let rotated = self.with_rotation.then_some(record::ROTATED);
        let timeout = base.timeout_entry().is_none().then_some(record::TIMEOUT);
        let numbers = created.into_iter().chain(rotated).chain(timeout);
        let numbers: usize = numbers.map(size_of).sum();
        let has_class = base.standing() != Standing::Anonymous;
        numbers + if has_class { 0 } else { record::CLASS_SIZE }
    }

    fn check_size(&self, size: usize) -> Result<(), Excess> {
        let limit = self.max_session_size;
        if size > limit {
            return Err(Excess::Size { size, limit });
        }
        Ok(())
    }
}

impl Excess {
    /// The error of the attempt to set `key`.
    fn of_key(self, key: &'static str) -> SetError {
        match self {
            Self::Size { size, limit } => SetError::TooLarge { key, size, limit },
            Self::Keys { keys, limit } => SetError::TooManyKeys { key, keys, limit },
        }
    }
}

impl From<Excess> for SaveError {
    fn from(excess: Excess) -> Self {
        match excess {
            Excess::Size { size, limit } => Self::TooLarge { size, limit },
            Excess::Keys { keys, limit } => Self::TooManyKeys { keys, limit },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Field = Field::new("ns.a");
    const B: Field = Field::new("ns.b");

    const LIMITS: Limits = Limits {
        max_session_size: 60,
        max_value_size: 40,
        max_keys: 2,
        with_rotation: false,
    };

    fn text(len: usize) -> Bytes {
        let text = "x".repeat(len);
        rmp_serde::to_vec_named(&text).unwrap().into()
    }

    fn check(base: &Record, field: Field, value: &Bytes) -> Result<(), SetError> {
        LIMITS.check_set(base, std::iter::empty(), field, value)
    }

    #[test]
    fn a_value_that_fits_where_it_is_set_can_be_saved() {
        let limits = Limits {
            max_session_size: 80,
            ..LIMITS
        };
        let number = record::number(u64::MAX);
        let class = Standing::Established.encoded();
        let base = Record::empty().with([
            (record::CREATED, Some(&number)),
            (record::TIMEOUT, Some(&number)),
            (record::CLASS, class),
        ]);
        for len in 0..50 {
            let value = text(len);
            let next = base.with([(A, Some(&value))]);
            let fits = value.len() <= limits.max_value_size && next.bytes().len() <= 80;
            let checked = limits.check_set(&base, std::iter::empty(), A, &value);
            assert_eq!(checked.is_ok(), fits, "{len}");
            if fits {
                assert!(limits.check_record(&next, &base).is_ok(), "{len}");
            }
        }
    }

    #[test]
    fn space_for_the_entries_of_the_library_is_reserved() {
        let limits = Limits {
            max_session_size: 100,
            max_value_size: 100,
            ..LIMITS
        };
        let check = |len| limits.check_set(Record::empty(), std::iter::empty(), A, &text(len));
        // 100 bytes, less the header of the map, `$created`, `$timeout`, `$class`, and the headers of `ns.a` and its
        // text.
        let most = 100 - 1 - 2 * (record::NUMBER_SIZE + 8) - record::CLASS_SIZE - 5 - 2;
        assert_eq!(check(most), Ok(()));
        let (key, limit) = (A.name(), 100);
        let size = 101;
        assert_eq!(
            check(most + 1),
            Err(SetError::TooLarge { key, size, limit })
        );
    }

    #[test]
    fn one_key_too_many_is_refused_and_a_known_key_is_not() {
        let one = text(1);
        let base = Record::empty().with([(A, Some(&one)), (B, Some(&one))]);
        assert_eq!(check(&base, A, &one), Ok(()));
        let (key, keys, limit) = ("ns.c", 3, 2);
        let refused = Err(SetError::TooManyKeys { key, keys, limit });
        assert_eq!(check(&base, Field::new("ns.c"), &one), refused);
        assert_eq!(check(&base, record::IDLE, &record::number(1)), Ok(()));
    }

    #[test]
    fn a_session_over_the_limit_may_shrink() {
        let (large, small, one) = (text(90), text(80), text(1));
        let timeout = record::number(1);
        let timeout = (record::TIMEOUT, Some(&timeout));
        let base = Record::empty().with([(A, Some(&large)), (B, Some(&one)), timeout]);
        for changes in [[(A, Some(&small))], [(B, None)], [(B, Some(&one))]] {
            let next = base.with(changes);
            assert!(LIMITS.check_record(&next, &base).is_ok(), "{changes:?}");
        }
        let limits = Limits {
            max_value_size: 100,
            ..LIMITS
        };
        let set = |value| limits.check_set(&base, std::iter::empty(), A, value);
        assert_eq!(set(&small), Ok(()));
        assert!(matches!(
            set(&text(91)),
            Err(SetError::TooLarge { limit: 60, .. })
        ));
        let next = base.with([(B, Some(&text(20)))]);
        let refused = LIMITS.check_record(&next, &base);
        assert!(matches!(
            refused,
            Err(SaveError::TooLarge { limit: 60, .. })
        ));
    }

    #[test]
    fn a_session_may_keep_the_keys_that_it_had_before_the_limit_was_lowered() {
        let one = text(1);
        let fields = [A, B, Field::new("ns.c")].map(|field| (field, Some(&one)));
        let three = Record::empty().with(fields);
        assert!(LIMITS.check_record(&three, &three).is_ok());
        let grown = LIMITS.check_record(&three, Record::empty());
        assert!(matches!(
            grown,
            Err(SaveError::TooManyKeys { keys: 3, limit: 2 })
        ));
    }
}
