//! [`Ctxt`] collects every error of one item, so that the user sees all of them at once.

use std::{cell::RefCell, fmt::Display, thread};

use proc_macro2::Span;
use quote::ToTokens;

/// The errors of one item so far.
///
/// Call [`check`](Self::check) at the end. A `Ctxt` that is dropped without it panics, because its errors
/// would be lost and invalid input would be expanded.
pub(crate) struct Ctxt {
    /// `None` once `check` has taken the errors.
    errors: RefCell<Option<Vec<syn::Error>>>,
}

impl Ctxt {
    pub(crate) fn new() -> Self {
        Self {
            errors: RefCell::new(Some(Vec::new())),
        }
    }

    /// Adds an error that points at all of `tokens`.
    pub(crate) fn error(&self, tokens: impl ToTokens, message: impl Display) {
        self.push(syn::Error::new_spanned(tokens, message));
    }

    /// Adds an error that points at `span`.
    pub(crate) fn error_at(&self, span: Span, message: impl Display) {
        self.push(syn::Error::new(span, message));
    }

    /// Adds an error that exists already, such as one of the parser.
    pub(crate) fn push(&self, error: syn::Error) {
        if let Some(errors) = &mut *self.errors.borrow_mut() {
            errors.push(error);
        }
    }

    /// Returns the value of `result`, or adds its error and returns `None`.
    pub(crate) fn ok<T>(&self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    /// The number of errors so far.
    pub(crate) fn count(&self) -> usize {
        self.errors.borrow().as_ref().map_or(0, Vec::len)
    }

    /// Returns every error, combined into one, or `Ok` if there is none.
    pub(crate) fn check(self) -> syn::Result<()> {
        let errors = self.errors.take().unwrap_or_default();
        let combined = errors.into_iter().reduce(|mut all, next| {
            all.combine(next);
            all
        });
        combined.map_or(Ok(()), Err)
    }
}

impl Drop for Ctxt {
    fn drop(&mut self) {
        let checked = self.errors.get_mut().is_none();
        // A second panic would abort the process and hide the first.
        assert!(
            checked || thread::panicking(),
            "a `Ctxt` was dropped without a call of `check`: its errors would be lost"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn error(message: &str) -> syn::Error {
        syn::Error::new(Span::call_site(), message)
    }

    #[test]
    fn check_returns_every_error_in_order() {
        let ctxt = Ctxt::new();
        assert_eq!(ctxt.ok(Ok(5)), Some(5));
        assert_eq!(ctxt.ok::<u8>(Err(error("first"))), None);
        ctxt.error_at(Span::call_site(), "second");
        assert_eq!(ctxt.count(), 2);

        let errors: Vec<String> = ctxt
            .check()
            .unwrap_err()
            .into_iter()
            .map(|error| error.to_string())
            .collect();
        assert_eq!(errors, ["first", "second"]);
    }

    #[test]
    fn check_succeeds_without_errors() {
        assert!(Ctxt::new().check().is_ok());
    }

    #[test]
    #[should_panic(expected = "dropped without a call of `check`")]
    fn dropping_a_ctxt_without_check_panics() {
        drop(Ctxt::new());
    }

    #[test]
    fn dropping_a_ctxt_during_a_panic_keeps_that_panic() {
        let panic = catch_unwind(AssertUnwindSafe(|| {
            let _ctxt = Ctxt::new();
            panic!("the first panic");
        }))
        .unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"the first panic"));
    }
}
