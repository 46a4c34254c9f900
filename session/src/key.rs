//! Typed session keys, and what a struct of them is: [`SessionData`].

use std::{fmt, marker::PhantomData};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::{GetError, SetError},
    session::{Fields, Handle},
    value,
};

/// A session key: where one field of `S` is stored, and that its value is a `T`.
///
/// `#[derive(SessionData)]` makes one constant for each field, so a key with a typo, of another struct,
/// or used with a value of another type does not compile. `A` says what a reader gets where nothing is
/// stored: `None` ([`Optional`], for fields that are an `Option<T>`) or a default ([`Defaulted`]).
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
        write!(f, "Key({})", self.field.name)
    }
}

impl<S, T> Key<S, T, Optional> {
    #[doc(hidden)]
    pub const fn optional(name: &'static str) -> Self
    where
        T: SessionValue,
    {
        Self {
            field: Field::new(name),
            default: None,
            codec: Codec::new(),
            marker: PhantomData,
        }
    }
}

impl<S, T> Key<S, T, Defaulted> {
    #[doc(hidden)]
    pub const fn defaulted(name: &'static str, default: fn() -> T) -> Self
    where
        T: SessionValue,
    {
        Self {
            field: Field::new(name),
            default: Some(default),
            codec: Codec::new(),
            marker: PhantomData,
        }
    }
}

impl<S, T, A> Key<S, T, A> {
    #[doc(hidden)]
    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.field.aliases = aliases;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn flash(mut self) -> Self {
        self.field.flash = true;
        self
    }

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

/// How values of a key are written and read. It is in the key so that only making one asks whether `T` can
/// be stored: a type that cannot is one error, at the field.
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

/// A session key without its types: the name it is stored under and how it is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub(crate) name: &'static str,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) flash: bool,
}

impl Field {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self {
            name,
            aliases: &[],
            flash: false,
        }
    }

    /// The name it is stored under: `namespace.field`.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Older names that are read where nothing is stored under [`name`](Self::name).
    pub const fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }

    /// Whether reading the value removes it.
    pub const fn is_flash(&self) -> bool {
        self.flash
    }

    /// Whether a value stored under `name` is this field's.
    pub(crate) fn answers_to(&self, name: &[u8]) -> bool {
        let mut names = std::iter::once(&self.name).chain(self.aliases);
        names.any(|own| own.as_bytes() == name)
    }
}

/// The key's field is an `Option<T>`: where nothing is stored, a reader gets `None`.
#[derive(Debug)]
pub enum Optional {}

/// The key's field has a default: where nothing is stored, a reader gets that.
#[derive(Debug)]
pub enum Defaulted {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Optional {}
    impl Sealed for super::Defaulted {}
}

/// What a reader of a [`Key`] gets where nothing is stored. Implemented by [`Optional`] and
/// [`Defaulted`].
pub trait Absence<T>: sealed::Sealed + 'static {
    /// What reading gives: `Option<T>` or `T`.
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

/// What can be kept in a session: anything that serde can write and read back.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be kept in a session",
    label = "not a session value",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it; it must own its data and be `Send`",
    note = "or mark the field `#[session(skip)]` to leave it out of the session"
)]
pub trait SessionValue: Serialize + DeserializeOwned + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + 'static> SessionValue for T {}

/// A struct whose fields are session keys. Derive it:
///
/// ```
/// # use poem_session::SessionData;
/// #[derive(SessionData)]
/// #[session(namespace = "shop")]
/// struct Shop {
///     user: Option<u64>,
///     #[session(default)]
///     cart: Vec<String>,
/// }
/// assert_eq!(Shop::CART.field().name(), "shop.cart");
/// ```
///
/// The hidden items are the derive's business and may change in any release.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not session data",
    label = "has no session keys",
    note = "put `#[derive(SessionData)]` on `{Self}`"
)]
pub trait SessionData: Sized + Send + 'static {
    /// The struct's name, for messages.
    const NAME: &'static str;

    /// Every key of the struct.
    const FIELDS: &'static [Field];

    #[doc(hidden)]
    type Fields: Fields<Self>;

    #[doc(hidden)]
    fn read(session: &Handle<Self>) -> Result<Self, GetError>;

    #[doc(hidden)]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), SetError>;
}

/// Collects the encoded fields of a struct, so that those that changed can be told.
#[doc(hidden)]
pub struct Encoder<'a>(pub(crate) &'a mut Vec<EncodedField>);

pub(crate) type EncodedField = (Field, Option<bytes::Bytes>);

impl Encoder<'_> {
    /// A field with a default.
    ///
    /// # Errors
    /// Where the value does not serialize.
    pub fn value<S, T>(&mut self, key: Key<S, T, Defaulted>, value: &T) -> Result<(), SetError> {
        self.0.push((key.field, Some(key.encode(value)?)));
        Ok(())
    }

    /// A field that is an `Option`.
    ///
    /// # Errors
    /// Where the value does not serialize.
    pub fn optional<S, T>(
        &mut self,
        key: Key<S, T, Optional>,
        value: &Option<T>,
    ) -> Result<(), SetError> {
        let encoded = match value {
            Some(value) => Some(key.encode(value)?),
            None => None,
        };
        self.0.push((key.field, encoded));
        Ok(())
    }
}
