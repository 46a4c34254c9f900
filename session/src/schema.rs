//! [`Schema`]: the keys of one session struct, without its type.

use std::any::TypeId;

use crate::field::Field;

/// The fields that one struct stores in a session.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// Tells two structs of the same name apart.
    owner: TypeId,
    name: &'static str,
    fields: &'static [Field],
}

impl Schema {
    pub(crate) const fn new<S: 'static>(name: &'static str, fields: &'static [Field]) -> Self {
        Self {
            owner: TypeId::of::<S>(),
            name,
            fields,
        }
    }

    pub(crate) fn owner(&self) -> TypeId {
        self.owner
    }

    /// The name of the struct, for messages.
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) const fn fields(&self) -> &'static [Field] {
        self.fields
    }
}
