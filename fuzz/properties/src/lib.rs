//! What holds of `poem-session` whatever bytes it is given: a [`Property`] for each way in.
//!
//! The fuzzers in `fuzz/fuzz_targets` look for an input that breaks one (`cargo xtask fuzz`), and a plain
//! test holds each to all inputs in `fuzz/corpus`, so that what was found once stays mended.
//!
//! Requests and records come in by the public interface. Two parts have none that could be called without
//! a compiler or a server around them, and are compiled into this crate: the macros, which work on any text
//! that is Rust's tokens, and what reads the addresses and values of Redis.

pub mod memory;
mod property;
mod store;

// The sources of `session-macros`, under the names that they know each other by.
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

// What the included parts of the stores are built on.
use poem_session::{clock, id};

/// Something that is to be true for every input.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    /// The name of the fuzzer, and of the directory of its inputs.
    pub name: &'static str,
    check: fn(&[u8]),
}

impl Property {
    /// Checks it for one input, and that this takes no more memory than an input of that length may.
    ///
    /// # Panics
    /// Where it does not hold.
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

        /// All of them.
        pub const ALL: &[Property] = &[$($constant),+];
    };
}

properties! {
    /// Whatever `Cookie` headers a request has, a session is its sender's or a new one.
    COOKIE = cookie;
    /// Whatever request comes, an id goes back only on the carrier it came by.
    SOURCES = sources;
    /// Whatever the settings, they are refused or make cookies that can be read and are known again.
    SETTINGS = settings;
    /// Whatever a store holds, it is a session or an error, and a change of one key changes no other.
    RECORD = record;
    /// Whatever lies under a key, it is a value of the key's type, which is kept as it is, or an error.
    VALUE = value;
    /// Whatever Redis holds, it is a record of ours or foreign.
    REDIS_VALUE = redis_value;
    /// Whatever address a store is opened by, what is said of it holds no password.
    ADDRESS = address;
    /// Whatever `#[derive(SessionData)]` stands on, its code can be parsed.
    DERIVE = derive;
    /// Whatever `#[session]` stands on, its code can be parsed.
    HANDLER = handler;
}
