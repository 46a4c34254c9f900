//! [`Key`]: a session key with its types.

use std::{fmt, marker::PhantomData};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::{GetError, SetError},
    field::Field,
    value,
};

/// A session key: the name under which one field of `S` is stored, and the type `T` of its value.
///
/// `#[derive(SessionData)]` makes one constant for each field, so a key with a typo, a key of another struct
/// and a value of another type do not compile. `A` is the kind of the field: reading an absent key returns
/// `None` ([`Optional`], for fields that are an `Option<T>`) or a default ([`Defaulted`]).
///
/// ```
/// # use poem_session::{Session, SessionData, GetError};
/// #[derive(SessionData)]
/// #[session(namespace = "shop")]
/// struct Shop {
///     user: Option<u64>,
///     #[session(default)]
///     cart: Vec<String>,
/// }
///
/// fn greeting(session: &Session<Shop>) -> Result<String, GetError> {
///     let user: Option<u64> = session.get(Shop::USER)?;
///     let cart: Vec<String> = session.get(Shop::CART)?;
///     Ok(format!("{user:?} has {} things", cart.len()))
/// }
/// ```
pub struct Key<S, T, A = Defaulted> {
    field: Field,
    default: Option<fn() -> T>,
    codec: Codec<T>,
    marker: PhantomData<fn() -> (S, A)>,
}

impl<S, T, A> Clone for Key<S, T, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S, T, A> Copy for Key<S, T, A> {}

impl<S, T, A> fmt::Debug for Key<S, T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.field.name())
    }
}

/// The constructors of keys, for the derive.
pub mod make_key {
    use std::marker::PhantomData;

    use super::{Codec, Defaulted, Key, Optional, SessionValue};
    use crate::field::Field;

    /// The key of a field that is an `Option`.
    pub const fn optional<S, T: SessionValue>(name: &'static str) -> Key<S, T, Optional> {
        Key {
            field: Field::new(name),
            default: None,
            codec: Codec::new(),
            marker: PhantomData,
        }
    }

    /// The key of a field with a default.
    pub const fn defaulted<S, T: SessionValue>(
        name: &'static str,
        default: fn() -> T,
    ) -> Key<S, T, Defaulted> {
        Key {
            field: Field::new(name),
            default: Some(default),
            codec: Codec::new(),
            marker: PhantomData,
        }
    }

    /// The key with older names that are read if nothing is stored under its own.
    pub const fn with_aliases<S, T, A>(
        key: Key<S, T, A>,
        aliases: &'static [&'static str],
    ) -> Key<S, T, A> {
        let field = key.field.with_aliases(aliases);
        Key { field, ..key }
    }

    /// The key whose value is removed when it is read.
    pub const fn with_flash<S, T, A>(key: Key<S, T, A>) -> Key<S, T, A> {
        let field = key.field.with_flash();
        Key { field, ..key }
    }
}

impl<S, T, A> Key<S, T, A> {
    /// The key without its types.
    pub const fn field(&self) -> Field {
        self.field
    }

    pub(crate) fn encode(&self, value: &T) -> Result<bytes::Bytes, SetError> {
        (self.codec.encode)(self.field, value)
    }

    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<T, GetError> {
        (self.codec.decode)(self.field, bytes)
    }

    pub(crate) fn default_value(&self) -> Option<fn() -> T> {
        self.default
    }
}

/// The functions that encode and decode the values of a key. They are part of the key so that only its
/// constructor requires `T: SessionValue`: a type that cannot be stored is one compile error, at the field.
struct Codec<T> {
    encode: fn(Field, &T) -> Result<bytes::Bytes, SetError>,
    decode: fn(Field, &[u8]) -> Result<T, GetError>,
}

impl<T> Clone for Codec<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Codec<T> {}

impl<T: SessionValue> Codec<T> {
    const fn new() -> Self {
        Self {
            encode: value::encode::<T>,
            decode: value::decode::<T>,
        }
    }
}

/// The kind of a field that is an `Option<T>`: reading an absent key returns `None`.
#[derive(Debug)]
pub enum Optional {}

/// The kind of a field with a default: reading an absent key returns the default.
#[derive(Debug)]
pub enum Defaulted {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Optional {}
    impl Sealed for super::Defaulted {}
}

/// The kind of a [`Key`]: [`Optional`] or [`Defaulted`].
pub trait Absence<T>: sealed::Sealed + 'static {
    /// The type that reading returns: `Option<T>` or `T`.
    type Read;

    #[doc(hidden)]
    fn read(stored: Option<T>, default: Option<fn() -> T>) -> Self::Read;

    #[doc(hidden)]
    fn stored(read: Self::Read) -> Option<T>;
}

impl<T> Absence<T> for Optional {
    type Read = Option<T>;

    fn read(stored: Option<T>, _: Option<fn() -> T>) -> Option<T> {
        stored
    }

    fn stored(read: Option<T>) -> Option<T> {
        read
    }
}

impl<T> Absence<T> for Defaulted {
    type Read = T;

    fn read(stored: Option<T>, default: Option<fn() -> T>) -> T {
        stored.unwrap_or_else(default.expect("a defaulted key is made with its default"))
    }

    fn stored(read: T) -> Option<T> {
        Some(read)
    }
}

/// A type that can be stored in a session: any type that serde can serialize and deserialize.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be kept in a session",
    label = "not a session value",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it; it must own its data and be `Send`",
    note = "or mark the field `#[session(skip)]` to leave it out of the session"
)]
pub trait SessionValue: Serialize + DeserializeOwned + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + 'static> SessionValue for T {}
