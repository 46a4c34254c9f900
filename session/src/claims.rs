//! Key claims: two structs must not store under one key, as each would read the values of the other.

use parking_lot::RwLock;

use crate::{error::KeyClashError, field::common_name, schema::Schema};

/// The structs that use the sessions of one application.
#[derive(Default)]
pub(crate) struct Claims(RwLock<Vec<Schema>>);

impl Claims {
    /// Claims the keys of a struct. Claiming them again does nothing.
    pub(crate) fn claim(&self, schema: Schema) -> Result<(), KeyClashError> {
        let is_known = |claims: &[Schema]| claims.iter().any(|c| c.owner() == schema.owner());
        if is_known(&self.0.read()) {
            return Ok(());
        }
        let mut claims = self.0.write();
        if is_known(&claims) {
            return Ok(());
        }
        for claim in &*claims {
            if let Some(key) = common_name(claim.fields(), schema.fields()) {
                return Err(KeyClashError {
                    key,
                    first: claim.name(),
                    second: schema.name(),
                });
            }
        }
        claims.push(schema);
        Ok(())
    }
}

/// Fails to compile if two of the structs have a key in common.
pub(crate) const fn assert_no_clash(schemas: &[Schema]) {
    let mut a = 0;
    while a < schemas.len() {
        let mut b = a + 1;
        while b < schemas.len() {
            if let Some(key) = common_name(schemas[a].fields(), schemas[b].fields()) {
                let message = Message::new()
                    .push("session key `")
                    .push(key)
                    .push("` is claimed by `")
                    .push(schemas[a].name())
                    .push("` and by `")
                    .push(schemas[b].name())
                    .push("`; give one of them another `namespace`, or the field a `rename`");
                panic!("{}", message.as_str());
            }
            b += 1;
        }
        a += 1;
    }
}

/// A text that is put together at compile time, where `format!` is not available.
struct Message {
    bytes: [u8; 512],
    len: usize,
}

impl Message {
    const fn new() -> Self {
        Self {
            bytes: [0; 512],
            len: 0,
        }
    }

    const fn push(mut self, text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() && self.len < self.bytes.len() {
            self.bytes[self.len] = bytes[i];
            self.len += 1;
            i += 1;
        }
        self
    }

    const fn as_str(&self) -> &str {
        match std::str::from_utf8(self.bytes.split_at(self.len).0) {
            Ok(text) => text,
            // A long name was cut in the middle of a character.
            Err(_) => "two structs claim one session key",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Field;

    struct Shop;
    struct Admin;

    const SHOP: Schema = Schema::new::<Shop>("Shop", &[Field::new("shop.user")]);
    const ADMIN: Schema = Schema::new::<Admin>("Admin", &[Field::new("shop.user")]);

    #[test]
    fn a_key_is_claimed_by_one_struct_only() {
        let claims = Claims::default();
        assert_eq!(claims.claim(SHOP), Ok(()));
        assert_eq!(claims.claim(SHOP), Ok(()));
        let clash = claims.claim(ADMIN).unwrap_err();
        assert_eq!((clash.first, clash.second), ("Shop", "Admin"));
        assert_eq!(clash.key, "shop.user");
    }

    #[test]
    #[should_panic(expected = "session key `shop.user` is claimed by `Shop` and by `Admin`; give")]
    fn the_compile_time_check_names_both_structs() {
        assert_no_clash(&[SHOP, ADMIN]);
    }
}
