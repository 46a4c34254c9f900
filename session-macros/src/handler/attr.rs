//! What was written in `#[session(…)]` on a function and in `#[key(…)]` on its parameters.

use std::time::Duration;

use proc_macro2::TokenStream;
use syn::{Attribute, ExprPath, Ident, LitStr, Meta, Path};

use crate::{ctxt::Ctxt, meta};

const OPTIONS: &[&str] = &[
    "or_redirect",
    "regenerate",
    "destroy",
    "exclusive",
    "idle_timeout",
    "crate",
];

/// On the function. The words are kept, for errors to point at.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) or_redirect: Option<LitStr>,
    pub(crate) regenerate: Option<Ident>,
    pub(crate) destroy: Option<Ident>,
    pub(crate) exclusive: Option<Ident>,
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
                    let target = entry.string("\"/login\"").and_then(redirect);
                    meta::set_once(ctxt, &mut read.or_redirect, &name, target);
                }
                "regenerate" => meta::set_once(ctxt, &mut read.regenerate, &name, entry.flag()),
                "destroy" => meta::set_once(ctxt, &mut read.destroy, &name, entry.flag()),
                "exclusive" => meta::set_once(ctxt, &mut read.exclusive, &name, entry.flag()),
                "idle_timeout" => {
                    let timeout = entry.string("\"2h\"").and_then(|text| {
                        let duration = duration(&text)?;
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

/// `#[key(Shop::USER)]` off a parameter's attributes.
pub(crate) fn take_keys(attrs: &mut Vec<Attribute>) -> Vec<Attribute> {
    attrs
        .extract_if(.., |attr| attr.path().is_ident("key"))
        .collect()
}

/// The key constant in `#[key(Shop::USER)]`.
pub(crate) fn key(attr: &Attribute) -> syn::Result<ExprPath> {
    let form = || {
        syn::Error::new_spanned(
            attr,
            "name the key constant of a field: `#[key(Shop::USER)]`",
        )
    };
    match &attr.meta {
        Meta::List(list) => list.parse_args().map_err(|_| form()),
        Meta::Path(_) | Meta::NameValue(_) => Err(form()),
    }
}

/// At least a second, as a session's own idle timeout is.
fn duration(text: &LitStr) -> syn::Result<Duration> {
    let written = text.value();
    let refuse = |why: &str| {
        let message = format!("{why}; write a duration such as \"30m\" or \"2h\"");
        Err(syn::Error::new(text.span(), message))
    };
    match humantime::parse_duration(&written) {
        Err(_) => refuse(&format!("`{written}` is not a duration")),
        Ok(duration) if duration < Duration::from_secs(1) => {
            refuse("an idle timeout of less than a second ends the session at once")
        }
        Ok(duration) if u64::try_from(duration.as_millis()).is_err() => {
            refuse("the idle timeout is too long")
        }
        Ok(duration) => Ok(duration),
    }
}

/// A path of this site, or a whole `https` URL. Browsers take `//host` and `/\host` for another site.
fn redirect(text: LitStr) -> syn::Result<LitStr> {
    let target = text.value();
    let path = target.starts_with('/') && !target.starts_with("//") && !target.starts_with("/\\");
    let url = target
        .strip_prefix("https://")
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '['));
    if !(path || url) {
        return Err(syn::Error::new(
            text.span(),
            "a redirect goes to a path of this site that begins with one `/`, such as \"/login\", or to \
             a whole `https://` URL",
        ));
    }
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(syn::Error::new(
            text.span(),
            "a URL has no spaces, control characters or letters outside ASCII; write them `%`-encoded",
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
    fn durations_as_people_write_them() {
        for (text, seconds) in [("30m", 1800), ("2h", 7200), ("1day 1s", 86401), ("1s", 1)] {
            let duration = duration(&literal(text)).unwrap();
            assert_eq!(duration, Duration::from_secs(seconds), "{text}");
        }
    }

    #[test]
    fn other_durations_name_the_form() {
        for text in ["", "30", "soon", "-1h", "0s", "999ms", "600000000000y"] {
            let error = duration(&literal(text)).unwrap_err().to_string();
            assert!(error.contains("\"30m\" or \"2h\""), "{text}: {error}");
        }
    }

    #[test]
    fn redirects_stay_on_the_site_or_say_where_they_go() {
        for good in [
            "/",
            "/login",
            "/login?next=/a#b",
            "https://id.example/login",
            "https://[::1]/",
        ] {
            assert!(redirect(literal(good)).is_ok(), "{good}");
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
            assert!(redirect(literal(bad)).is_err(), "{bad}");
        }
    }
}
