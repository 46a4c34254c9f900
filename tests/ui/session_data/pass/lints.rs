//! The generated code passes strict lints. The structs are documented and partly unused.
#![deny(warnings, missing_docs, unreachable_pub, unused, unused_qualifications)]
#![deny(missing_debug_implementations, missing_copy_implementations)]
#![deny(elided_lifetimes_in_paths, single_use_lifetimes, unused_lifetimes, unused_results)]
#![deny(trivial_casts, let_underscore_drop, explicit_outlives_requirements, non_local_definitions)]

/// A private module.
mod inner {
    use poem_session::SessionData;

    /// Session data.
    #[derive(Debug, SessionData)]
    pub(crate) struct Shop {
        /// Who is signed in.
        pub(crate) user: Option<u64>,
        #[session(default)]
        cart: Vec<String>,
        #[session(default = 5)]
        count: u32,
    }

    /// With a name that a lint rejects.
    #[allow(non_snake_case)]
    #[derive(Debug, SessionData)]
    pub(crate) struct Names {
        camelCase: Option<u8>,
    }
}

/// Session data.
#[derive(Debug, poem_session::SessionData)]
pub struct Shop {
    /// Who is signed in.
    pub user: Option<u64>,
    /// What is in the cart.
    #[session(default)]
    pub cart: Vec<String>,
    #[deprecated = "use `user`"]
    #[session(flash)]
    customer: Option<u64>,
    private: Option<u64>,
}

fn main() {
    let _ = inner::Shop::USER;
}
