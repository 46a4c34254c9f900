//! Session ids: what the client holds ([`SessionId`]) and what everybody else may see
//! ([`PublicId`]).

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::Rng as _;
use sha2::{Digest as _, Sha256};

/// The secret that a client presents to be given its session back.
///
/// 256 bits from the operating system's generator by way of a ChaCha stream cipher, as 43
/// base64url characters. Who holds it holds the session, so it has no `Display`, its `Debug` is
/// masked, and a store never sees it: stores are given its [`PublicId`].
///
/// OWASP Session Management Cheat Sheet, "Session ID Entropy" asks for 64 bits, ASVS 5.0 7.2.3 for
/// 128.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionId {
    // Inline, so that handling an id does not allocate.
    bytes: [u8; Self::MAX_LEN],
    len: u8,
}

/// The text is not a session id: see [`SessionId::parse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a session id: expected {} to {} characters of A-Z a-z 0-9 - _",
    SessionId::MIN_LEN,
    SessionId::MAX_LEN
)]
pub struct ParseSessionIdError;

impl SessionId {
    /// The shortest id, in characters: 132 bits as base64url.
    pub const MIN_LEN: usize = 22;
    /// The longest id, in characters: 256 bits in hexadecimal digits.
    pub const MAX_LEN: usize = 64;

    /// A new random id: 43 base64url characters.
    pub fn random() -> Self {
        let mut secret = [0; 32];
        rand::rng().fill_bytes(&mut secret);
        let mut bytes = [0; Self::MAX_LEN];
        let len = URL_SAFE_NO_PAD
            .encode_slice(secret, &mut bytes)
            .expect("32 bytes are 43 characters of base64url");
        Self {
            bytes,
            len: u8::try_from(len).expect("at most 64"),
        }
    }

    /// Reads an id that a client presented or an id generator made: 22 to 64 characters of
    /// `A-Z a-z 0-9 - _`.
    ///
    /// # Errors
    /// [`ParseSessionIdError`] for anything else. Such a text never reaches a store.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, ParseSessionIdError> {
        let text = text.as_ref();
        let well_formed = (Self::MIN_LEN..=Self::MAX_LEN).contains(&text.len())
            && text
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if !well_formed {
            return Err(ParseSessionIdError);
        }
        let mut bytes = [0; Self::MAX_LEN];
        bytes[..text.len()].copy_from_slice(text);
        Ok(Self {
            bytes,
            len: u8::try_from(text.len()).expect("at most 64"),
        })
    }

    /// The secret itself, to hand to the client it belongs to. Do not log it.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("ids are ASCII")
    }

    /// The name under which stores, logs and admin pages know this session.
    pub fn public(&self) -> PublicId {
        PublicId(Sha256::digest(&self.bytes[..usize::from(self.len)]).into())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(***)")
    }
}

impl FromStr for SessionId {
    type Err = ParseSessionIdError;

    fn from_str(text: &str) -> Result<Self, ParseSessionIdError> {
        Self::parse(text)
    }
}

/// The name of a session that gives no access to it: the SHA-256 of its [`SessionId`].
///
/// It is the key in the store, what logs print (its first eight digits), and what an admin page
/// can show and revoke a session by. `Display` and `FromStr` use 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicId([u8; 32]);

impl PublicId {
    /// The name with these bytes, as a store kept them.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the name.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<&SessionId> for PublicId {
    fn from(id: &SessionId) -> Self {
        id.public()
    }
}

impl From<SessionId> for PublicId {
    fn from(id: SessionId) -> Self {
        id.public()
    }
}

impl fmt::Display for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The first eight digits: enough to follow a session through a log.
impl fmt::Debug for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…")
    }
}

impl FromStr for PublicId {
    type Err = ParsePublicIdError;

    fn from_str(text: &str) -> Result<Self, ParsePublicIdError> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(ParsePublicIdError);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = hex(pair[0]).ok_or(ParsePublicIdError)? << 4
                | hex(pair[1]).ok_or(ParsePublicIdError)?;
        }
        Ok(Self(bytes))
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// The text is not a [`PublicId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a public session id: expected 64 hexadecimal digits")]
pub struct ParsePublicIdError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_are_43_base64url_characters_and_differ() {
        let (a, b) = (SessionId::random(), SessionId::random());
        assert_eq!(a.expose().len(), 43);
        assert_ne!(a, b);
        assert_eq!(SessionId::parse(a.expose()), Ok(a));
    }

    #[test]
    fn malformed_ids_are_refused() {
        let exact = "a".repeat(SessionId::MAX_LEN);
        assert!(SessionId::parse(&exact).is_ok());
        for text in [
            "",
            "short",
            &"a".repeat(SessionId::MIN_LEN - 1),
            &"a".repeat(SessionId::MAX_LEN + 1),
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
            "ééééééééééééééééééééééé",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaa aaaaaaaaaaaa",
        ] {
            assert_eq!(SessionId::parse(text), Err(ParseSessionIdError), "{text:?}");
        }
        assert_eq!(SessionId::parse([0xff; 43]), Err(ParseSessionIdError));
    }

    #[test]
    fn nothing_prints_the_secret() {
        let id = SessionId::random();
        assert!(!format!("{id:?}").contains(id.expose()));
        assert_eq!(format!("{:?}", id.public()).chars().count(), 9);
    }

    #[test]
    fn a_public_id_survives_its_text() {
        let public = SessionId::random().public();
        assert_eq!(public.to_string().parse(), Ok(public));
        assert_eq!("0g".repeat(32).parse::<PublicId>(), Err(ParsePublicIdError));
        assert_eq!("é".repeat(32).parse::<PublicId>(), Err(ParsePublicIdError));
    }
}
