//! Reads the options in `#[session(…)]` on a function, and `#[key(…)]` on its parameters.

use std::time::Duration;

use proc_macro2::TokenStream;
use syn::{Attribute, ExprPath, Ident, LitStr, Meta, Path};

use crate::{ctxt::Ctxt, meta};

/// The options of a handler.
const OPTIONS: &[&str] = &[
    "or_redirect",
    "regenerate",
    "destroy",
    "exclusive",
    "passive",
    "idle_timeout",
    "crate",
];

/// The options of the handler. Flags keep the word that was written, so that errors can point at it.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) or_redirect: Option<LitStr>,
    pub(crate) regenerate: Option<Ident>,
    pub(crate) destroy: Option<Ident>,
    pub(crate) exclusive: Option<Ident>,
    pub(crate) passive: Option<Ident>,
    pub(crate) idle_timeout: Option<(LitStr, Duration)>,
    pub(crate) krate: Option<Path>,
}

impl Options {
    pub(crate) fn read(ctxt: &Ctxt, list: TokenStream) -> Self {
        let mut read = Self::default();
        for entry in meta::entries(ctxt, list) {
            let name = entry.name.clone();
            match name.to_string().as_str() {
                "or_redirect" => {
                    let target = entry.string("\"/login\"").and_then(check_redirect);
                    meta::set_once(ctxt, &mut read.or_redirect, &name, target);
                }
                "regenerate" => meta::set_once(ctxt, &mut read.regenerate, &name, entry.flag()),
                "destroy" => meta::set_once(ctxt, &mut read.destroy, &name, entry.flag()),
                "exclusive" => meta::set_once(ctxt, &mut read.exclusive, &name, entry.flag()),
                "passive" => meta::set_once(ctxt, &mut read.passive, &name, entry.flag()),
                "idle_timeout" => {
                    let timeout = entry.string("\"2h\"").and_then(|text| {
                        let duration = parse_duration(&text)?;
                        Ok((text, duration))
                    });
                    meta::set_once(ctxt, &mut read.idle_timeout, &name, timeout);
                }
                "crate" => {
                    let path = entry.path("some::path::poem_session");
                    meta::set_once(ctxt, &mut read.krate, &name, path);
                }
                _ => meta::unknown(ctxt, &name, "option", "of `#[session]`", OPTIONS),
            }
        }
        read
    }
}

/// Takes each `#[key(…)]` from the attributes of a parameter.
pub(crate) fn take_keys(attrs: &mut Vec<Attribute>) -> Vec<Attribute> {
    attrs
        .extract_if(.., |attr| attr.path().is_ident("key"))
        .collect()
}

/// Reads the key constant in `#[key(Shop::USER)]`.
pub(crate) fn key(attr: &Attribute) -> syn::Result<ExprPath> {
    let error = || {
        syn::Error::new_spanned(
            attr,
            "expected the key constant of a field: `#[key(Shop::USER)]`",
        )
    };
    match &attr.meta {
        Meta::List(list) => list.parse_args().map_err(|_| error()),
        Meta::Path(_) | Meta::NameValue(_) => Err(error()),
    }
}

/// Reads an idle timeout. Rejects text that is not a duration, and less than one second, which is the minimum of
/// `Session::set_idle_timeout` too:
///
/// ```text
/// #[session(idle_timeout = "soon")]
/// ```
fn parse_duration(text: &LitStr) -> syn::Result<Duration> {
    let written = text.value();
    let reject = |why: &str| {
        let message = format!("{why}; write a duration such as \"30m\" or \"2h\"");
        Err(syn::Error::new(text.span(), message))
    };
    match humantime::parse_duration(&written) {
        Err(_) => reject(&format!("`{written}` is not a duration")),
        Ok(duration) if duration < Duration::from_secs(1) => {
            reject("an idle timeout of less than a second ends the session at once")
        }
        Ok(duration) if u64::try_from(duration.as_millis()).is_err() => {
            reject("the idle timeout is too long")
        }
        Ok(duration) => Ok(duration),
    }
}

/// Rejects every redirect target but a path on this site and a full `https` URL. `//host` and `/\host` are not
/// paths, because browsers resolve them to another site:
///
/// ```text
/// #[session(or_redirect = "//login.example")]
/// ```
fn check_redirect(text: LitStr) -> syn::Result<LitStr> {
    let target = text.value();
    let path = target.starts_with('/') && !target.starts_with("//") && !target.starts_with("/\\");
    let url = target
        .strip_prefix("https://")
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '['));
    if !(path || url) {
        return Err(syn::Error::new(
            text.span(),
            "a redirect target is a path on this site that begins with one `/`, such as \"/login\", or a full \
             `https://` URL",
        ));
    }
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(syn::Error::new(
            text.span(),
            "a URL has no spaces, control characters or non-ASCII letters; write them percent-encoded",
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;

    use super::*;

    fn literal(text: &str) -> LitStr {
        LitStr::new(text, Span::call_site())
    }

    #[test]
    fn durations_have_a_number_and_a_unit() {
        for (text, seconds) in [("30m", 1800), ("2h", 7200), ("1day 1s", 86401), ("1s", 1)] {
            let duration = parse_duration(&literal(text)).unwrap();
            assert_eq!(duration, Duration::from_secs(seconds), "{text}");
        }
    }

    #[test]
    fn the_error_of_an_invalid_duration_shows_the_form() {
        for text in ["", "30", "soon", "-1h", "0s", "999ms", "600000000000y"] {
            let error = parse_duration(&literal(text)).unwrap_err().to_string();
            assert!(error.contains("\"30m\" or \"2h\""), "{text}: {error}");
        }
    }

    #[test]
    fn a_redirect_target_is_a_path_on_this_site_or_an_https_url() {
        for good in [
            "/",
            "/login",
            "/login?next=/a#b",
            "https://id.example/login",
            "https://[::1]/",
        ] {
            assert!(check_redirect(literal(good)).is_ok(), "{good}");
        }
        for bad in [
            "",
            "login",
            "//evil.example",
            "/\\evil.example",
            "http://plain.example",
            "https://",
            "https:///evil.example",
            "javascript:alert(1)",
            "/a b",
            "/a\r\nSet-Cookie: a=b",
            "/ö",
        ] {
            assert!(check_redirect(literal(bad)).is_err(), "{bad}");
        }
    }
}
