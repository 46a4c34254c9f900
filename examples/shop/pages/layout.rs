//! The layout of all pages: head, header, notice and footer.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::assets;

/// The data about the visitor that the header shows.
pub(crate) struct Visitor {
    /// The number of items in the cart.
    pub(crate) items: u32,
    /// The name of the signed-in customer.
    pub(crate) name: Option<String>,
    /// A message that is shown once, above the content.
    pub(crate) notice: Option<String>,
}

/// A complete page around `content`.
///
/// The navigation marks the path `here` as current. `visitor` is `None` if the session could not be read.
pub(super) fn page(title: &str, here: &str, visitor: Option<&Visitor>, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Blotter & Nib" }
                link rel="stylesheet" href=(assets::STYLE_URL.as_str());
                link rel="icon" type="image/svg+xml" href="/favicon.svg";
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                (header(here, visitor))
                main #content tabindex="-1" {
                    @if let Some(notice) = visitor.and_then(|visitor| visitor.notice.as_deref()) {
                        p.notice role="status" { (notice) }
                    }
                    (content)
                }
                footer {
                    p { "Blotter & Nib, paper goods since this morning." }
                    p { "A demo of sessions with poem-session: nothing here is for sale." }
                }
            }
        }
    }
}

fn header(here: &str, visitor: Option<&Visitor>) -> Markup {
    html! {
        header {
            a.brand href="/" aria-label="Blotter & Nib, home" {
                (PreEscaped(include_str!("../pictures/nib.svg")))
                span { "Blotter " span.amp { "&" } " Nib" }
            }
            nav aria-label="Shop" {
                (link("/", here, "Shop"))
                (link("/contact", here, "Contact"))
                @if let Some(visitor) = visitor {
                    @if let Some(name) = &visitor.name {
                        a href="/dashboard" aria-current=[current("/dashboard", here)] { (name) }
                        form method="post" action="/logout" { button.plain { "Sign out" } }
                    } @else {
                        (link("/login", here, "Sign in"))
                    }
                }
            }
            a.cart href="/cart" aria-current=[current("/cart", here)] {
                span { "Cart" }
                @if let Some(visitor) = visitor {
                    @let items = visitor.items;
                    " " span.count.none[items == 0] {
                        (items) span.hidden { @if items == 1 { " item" } @else { " items" } }
                    }
                }
            }
        }
    }
}

fn link(to: &'static str, here: &str, text: &str) -> Markup {
    html! { a href=(to) aria-current=[current(to, here)] { (text) } }
}

fn current(to: &str, here: &str) -> Option<&'static str> {
    (to == here).then_some("page")
}
