//! Session ids: the secret that the client holds ([`SessionId`]), and the name of the session that stores, logs
//! and admin pages use ([`PublicId`]).

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::random;

/// The secret by which a client presents its session.
///
/// A random id has 256 bits from the operating system's generator, as 43 base64url characters. Anyone who knows
/// the id can use the session. So the type has no `Display`, its `Debug` is masked, and a store never sees it:
/// stores use its [`PublicId`].
///
/// OWASP Session Management Cheat Sheet, "Session ID Entropy", asks for 64 bits, ASVS 5.0 7.2.3 for 128.
#[derive(Clone, Copy, PartialEq, Eq)]
// Aligned, because a request moves its id a few times, and copies of odd sizes are slow.
#[repr(align(8))]
pub struct SessionId {
    // Inline, so that an id needs no allocation.
    bytes: [u8; Self::MAX_LEN],
    len: u8,
}

/// The error of parsing a text that is not a session id: see [`SessionId::parse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a session id: expected {} to {} characters of A-Z a-z 0-9 - _",
    SessionId::MIN_LEN,
    SessionId::MAX_LEN
)]
pub struct ParseSessionIdError;

/// For each byte, whether an id may contain it.
static IS_ID_BYTE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        let is_id_byte = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        table[byte as usize] = is_id_byte;
        byte += 1;
    }
    table
};

impl SessionId {
    /// The shortest id, in characters: 132 bits as base64url.
    pub const MIN_LEN: usize = 22;
    /// The longest id, in characters: 256 bits in hexadecimal digits.
    pub const MAX_LEN: usize = 64;

    /// Returns a new random id of 43 base64url characters.
    ///
    /// All bits are read from the operating system for this id. The process keeps no generator, so a virtual
    /// machine that is restored from a snapshot does not draw the ids of another one.
    ///
    /// # Panics
    /// If the operating system has no random numbers.
    pub fn random() -> Self {
        let secret: [u8; 32] = random::bytes();
        let mut bytes = [0; Self::MAX_LEN];
        let len = URL_SAFE_NO_PAD
            .encode_slice(secret, &mut bytes)
            .expect("32 bytes are 43 characters of base64url");
        Self {
            bytes,
            len: u8::try_from(len).expect("at most 64"),
        }
    }

    /// Parses an id that a client has presented or an id generator has made: 22 to 64 characters of
    /// `A-Z a-z 0-9 - _`.
    ///
    /// # Errors
    /// [`ParseSessionIdError`] for any other text. Such a text never reaches a store.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, ParseSessionIdError> {
        let text = text.as_ref();
        let well_formed = (Self::MIN_LEN..=Self::MAX_LEN).contains(&text.len())
            && text.iter().all(|byte| IS_ID_BYTE[usize::from(*byte)]);
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

    /// Returns the secret, to send it to its client. Do not log it.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("ids are ASCII")
    }

    /// Returns the public id of the session.
    pub fn public(&self) -> PublicId {
        PublicId(Sha256::digest(self.as_bytes()).into())
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Encrypts this id, whose public id is `key`, for a client that knows the id `old`. The store does not know
    /// `old`, so it cannot read this id.
    ///
    /// Each byte is combined by xor with one of `SHA-256(0, key, old)` followed by `SHA-256(1, key, old)`. That is
    /// a one-time pad, because no other id has the public id `key`.
    pub(crate) fn sealed_for(&self, key: PublicId, old: &Self) -> Vec<u8> {
        self.as_bytes()
            .iter()
            .zip(pad(key, old))
            .map(|(byte, pad)| byte ^ pad)
            .collect()
    }

    /// Decrypts an id that [`sealed_for`](Self::sealed_for) has encrypted. Returns `None` if `old` is not the id
    /// that it was encrypted for.
    pub(crate) fn unseal(sealed: &[u8], key: PublicId, old: &Self) -> Option<Self> {
        let bytes = sealed.iter().zip(pad(key, old));
        let id = Self::parse(bytes.map(|(byte, pad)| byte ^ pad).collect::<Vec<u8>>()).ok()?;
        (id.public() == key).then_some(id)
    }
}

fn pad(key: PublicId, old: &SessionId) -> impl Iterator<Item = u8> {
    [0u8, 1].into_iter().flat_map(move |half| {
        let hash = Sha256::new().chain_update([half]);
        let hash = hash.chain_update(key.0).chain_update(old.as_bytes());
        <[u8; 32]>::from(hash.finalize())
    })
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

/// The public name of a session: the SHA-256 of its [`SessionId`]. It gives no access to the session.
///
/// It is the key in the store. Logs print its first eight digits, and an admin page can show it and revoke the
/// session by it. `Display` and `FromStr` use 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
// Aligned for the same reason as a `SessionId`.
#[repr(align(8))]
pub struct PublicId([u8; 32]);

impl PublicId {
    /// Returns the public id with these bytes, as a store has kept them.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes.
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

/// Prints the first eight digits, which suffice to follow a session through a log.
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

/// The error of parsing a text that is not a [`PublicId`].
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
    fn a_sealed_id_is_read_with_the_old_id_only() {
        let (old, other) = (SessionId::random(), SessionId::random());
        let longest = SessionId::parse("a".repeat(SessionId::MAX_LEN)).unwrap();
        for new in [SessionId::random(), longest] {
            let key = new.public();
            let sealed = new.sealed_for(key, &old);
            assert_eq!(SessionId::unseal(&sealed, key, &old), Some(new));
            assert_eq!(SessionId::unseal(&sealed, key, &other), None);
            assert_eq!(SessionId::unseal(&sealed, other.public(), &old), None);
            assert_eq!(SessionId::unseal(&sealed[1..], key, &old), None);
            assert!(
                !sealed
                    .windows(8)
                    .any(|part| new.as_bytes().windows(8).any(|own| own == part))
            );
        }
    }

    #[test]
    fn debug_masks_the_secret() {
        let id = SessionId::random();
        assert!(!format!("{id:?}").contains(id.expose()));
        assert_eq!(format!("{:?}", id.public()).chars().count(), 9);
    }

    #[test]
    fn a_public_id_round_trips_through_its_text() {
        let public = SessionId::random().public();
        assert_eq!(public.to_string().parse(), Ok(public));
        assert_eq!("0g".repeat(32).parse::<PublicId>(), Err(ParsePublicIdError));
        assert_eq!("é".repeat(32).parse::<PublicId>(), Err(ParsePublicIdError));
    }
}
