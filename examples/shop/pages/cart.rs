//! The page of the cart.

use maud::{Markup, PreEscaped, html};

use super::{Visitor, layout::page};
use crate::{
    cart::{self, LineItem},
    catalogue::{Price, Product},
};

/// `GET /cart`
pub(crate) fn cart(visitor: &Visitor, cart: &[LineItem]) -> Markup {
    let items = cart::items(cart);
    let content = html! {
        h1 { "Your cart" }
        @if items == 0 {
            div.empty {
                p { "There is nothing in it yet." }
                p { a.button href="/" { "See what there is" } }
            }
        } @else {
            div.split {
                ul.lines {
                    @for (product, quantity) in cart::lines(cart) { (line(product, quantity)) }
                }
                section.card aria-labelledby="sum" {
                    h2 #sum { "Sum" }
                    dl.sums {
                        dt { (items) @if items == 1 { " item" } @else { " items" } }
                        dd { (cart::total(cart)) }
                        dt { "Delivery" } dd { "free" }
                        dt.total { "Total" } dd.total { (cart::total(cart)) }
                    }
                    p.small {
                        "You would pay here. The demo ends at this point, and keeps your cart until you "
                        "come back."
                    }
                    a.button.quiet href="/" { "Go on looking" }
                }
            }
        }
    };
    page("Your cart", "/cart", Some(visitor), &content)
}

fn line(product: &Product, quantity: u32) -> Markup {
    html! {
        li.line {
            div class={ "picture " (product.tint) } { (PreEscaped(product.picture)) }
            div.about {
                h2 { (product.name) }
                p { (quantity) " × " (product.price) }
            }
            p.price { (Price(product.price.0 * quantity)) }
            div.actions {
                @if quantity < cart::MOST { (action("/cart/add", product, "One more")) }
                (action("/cart/remove", product, "Remove"))
            }
        }
    }
}

fn action(to: &str, product: &Product, text: &str) -> Markup {
    html! {
        form method="post" action=(to) {
            input type="hidden" name="product_id" value=(product.id);
            button.quiet { (text) span.hidden { ": " (product.name) } }
        }
    }
}
