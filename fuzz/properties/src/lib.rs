//! Properties of `poem-session` that hold for any input: one [`Property`] for each kind of input.
//!
//! The fuzzers in `fuzz/fuzz_targets` search for an input that breaks a property (`cargo xtask fuzz`). A plain test
//! checks each property with all inputs in `fuzz/corpus`, so that a fixed fault does not come back.
//!
//! Requests and records are tested through the public API. Two parts have no public API that works without a
//! compiler or a server, so this crate includes their sources: the macros, and the parsers for addresses and values
//! of Redis.

pub mod memory;
mod property;
mod store;

// The sources of `session-macros`, with the module names that they use for each other.
#[path = "../../../session-macros/src/ctxt.rs"]
mod ctxt;
#[path = "../../../session-macros/src/data/mod.rs"]
mod data;
#[path = "../../../session-macros/src/handler/mod.rs"]
mod handler;
#[path = "../../../session-macros/src/meta.rs"]
mod meta;
#[path = "../../../session-macros/src/names.rs"]
mod names;
#[path = "../../../session-macros/src/private.rs"]
mod private;
#[path = "../../../session-macros/src/reserved.rs"]
mod reserved;

// The included sources of the stores import these modules from `crate`.
use poem_session::clock;
mod id {
    pub(crate) use poem_session::PublicId;
}

/// A statement that must be true for every input.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    /// The name of the fuzzer and of its directory in the corpus.
    pub name: &'static str,
    check: fn(&[u8]),
}

impl Property {
    /// Checks the property for one input, and checks that this allocates no more memory than
    /// [`memory::bounded`] allows.
    ///
    /// # Panics
    /// If the property does not hold.
    pub fn hold(&self, input: &[u8]) {
        memory::bounded(input.len(), || (self.check)(input));
    }
}

macro_rules! properties {
    ($($(#[$doc:meta])* $constant:ident = $module:ident;)+) => {
        $(
            $(#[$doc])*
            pub const $constant: Property = Property {
                name: stringify!($module),
                check: property::$module::check,
            };
        )+

        /// All properties.
        pub const ALL: &[Property] = &[$($constant),+];
    };
}

properties! {
    /// For any `Cookie` headers, the session is the sender's own or a new one.
    COOKIE = cookie;
    /// For any request, the response carries an id only where the request carried it.
    SOURCES = sources;
    /// Any settings are refused, or give well-formed cookies whose session is found again.
    SETTINGS = settings;
    /// Any record in a store is a session or an error, and a change of one key changes no other key.
    RECORD = record;
    /// Any bytes under a key are a value of the key's type, which is saved unchanged, or an error.
    VALUE = value;
    /// Any value in Redis is a record in the documented layout, or is refused as foreign.
    REDIS_VALUE = redis_value;
    /// For any address of a store, the error shows no password.
    ADDRESS = address;
    /// For any item, the output of `#[derive(SessionData)]` parses.
    DERIVE = derive;
    /// For any item and options, the output of `#[session]` parses.
    HANDLER = handler;
}
