//! [`SessionData`]: a struct whose fields are session keys.

use crate::{
    error::{GetError, SetError},
    field::Field,
    schema::Schema,
    session::{Encoder, Fields, Handle},
};

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
/// The hidden items belong to the derive and may change in any release.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not session data",
    label = "has no session keys",
    note = "put `#[derive(SessionData)]` on `{Self}`"
)]
pub trait SessionData: Sized + Send + 'static {
    /// The name of the struct, for messages.
    const NAME: &'static str;

    /// The fields of the struct.
    const FIELDS: &'static [Field];

    #[doc(hidden)]
    const SCHEMA: Schema = Schema::new::<Self>(Self::NAME, Self::FIELDS);

    #[doc(hidden)]
    type Fields: Fields<Self>;

    #[doc(hidden)]
    fn read(session: &Handle<Self>) -> Result<Self, GetError>;

    #[doc(hidden)]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), SetError>;
}

/// A struct of session keys, or a tuple of up to eight: see
/// [`SessionsBuilder::data`](crate::SessionsBuilder::data).
pub trait DataSet {
    #[doc(hidden)]
    const SCHEMAS: &'static [Schema];
}

impl<S: SessionData> DataSet for S {
    const SCHEMAS: &'static [Schema] = &[S::SCHEMA];
}

macro_rules! tuple {
    ($($part:ident)+) => {
        impl<$($part: SessionData),+> DataSet for ($($part,)+) {
            const SCHEMAS: &'static [Schema] = &[$($part::SCHEMA),+];
        }
    };
}

tuple!(A);
tuple!(A B);
tuple!(A B C);
tuple!(A B C D);
tuple!(A B C D E);
tuple!(A B C D E F);
tuple!(A B C D E F G);
tuple!(A B C D E F G H);
