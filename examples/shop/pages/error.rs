//! The error page.

use maud::{Markup, html};
use poem::http::StatusCode;

use super::layout::page;

/// The page for an error; `reason` is a sentence for the visitor.
pub(crate) fn error(status: StatusCode, reason: &str) -> Markup {
    let title = match status {
        StatusCode::NOT_FOUND => "Page not found",
        status if status.is_server_error() => "Something went wrong",
        _ => "That did not work",
    };
    let content = html! {
        div.empty {
            p.code { (status.as_u16()) }
            h1 { (title) }
            p { (reason) }
            p { a.button href="/" { "Back to the shop" } }
        }
    };
    page(title, "", None, &content)
}
