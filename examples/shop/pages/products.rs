//! The page with all products.

use maud::{Markup, PreEscaped, html};

use super::{Visitor, layout::page};
use crate::catalogue::PRODUCTS;

/// `GET /`
pub(crate) fn products(visitor: &Visitor) -> Markup {
    let content = html! {
        div.lead {
            h1 { "For people who still write" }
            p { "Paper, ink and the few good tools between them. Chosen slowly, packed by hand." }
        }
        ul.shelf {
            @for product in &PRODUCTS {
                li.product {
                    div class={ "picture " (product.tint) } { (PreEscaped(product.picture)) }
                    div.about {
                        h2 { (product.name) }
                        p { (product.detail) }
                        form method="post" action="/cart/add" {
                            span.price { (product.price) }
                            input type="hidden" name="product_id" value=(product.id);
                            button { "Add to cart" span.hidden { ": " (product.name) } }
                        }
                    }
                }
            }
        }
    };
    page("Paper, ink and tools", "/", Some(visitor), &content)
}
