//! The cart.

use poem::{
    IntoResponse, Response,
    web::{Form, Json, Redirect},
};
use poem_session::{Session, session};
use serde::{Deserialize, Serialize};

use crate::{
    cart::{self, MOST},
    catalogue::{self, Product},
    pages::{self, Visitor},
    respond::{Format, Refused},
    sessions::Shop,
};

/// The JSON response with the number of items in the cart.
#[derive(Serialize)]
struct Count {
    items: u32,
}

#[derive(Deserialize)]
pub(crate) struct Addition {
    product_id: String,
    #[serde(default = "one")]
    quantity: u32,
}

const fn one() -> u32 {
    1
}

#[derive(Deserialize)]
pub(crate) struct Removal {
    product_id: String,
}

/// `POST /cart/add`
#[session]
pub(crate) async fn add(
    shop: Session<Shop>,
    format: Format,
    Form(addition): Form<Addition>,
) -> poem::Result<Response> {
    let product = product(&addition.product_id)?;
    let quantity = addition.quantity;
    if !(1..=MOST).contains(&quantity) {
        return Err(Refused("Please choose a quantity between 1 and 20.").into());
    }
    // If another tab changed the cart in the meantime, the closure runs again on the newer cart. Both additions
    // are kept.
    shop.update_cart(move |cart| cart::add(cart, product, quantity))?;
    let cart = shop.cart()?;
    let notice = match cart::quantity(&cart, product) {
        MOST => format!(
            "{MOST} × {} in your cart, the largest quantity that we send.",
            product.name
        ),
        _ => format!("{} is in your cart.", product.name),
    };
    respond(&shop, format, notice)
}

/// `POST /cart/remove`
#[session]
pub(crate) async fn remove(
    shop: Session<Shop>,
    format: Format,
    Form(removal): Form<Removal>,
) -> poem::Result<Response> {
    let product = product(&removal.product_id)?;
    shop.update_cart(move |cart| cart::remove(cart, product))?;
    respond(
        &shop,
        format,
        format!("{} is back on the shelf.", product.name),
    )
}

/// `GET /cart`
#[session]
pub(crate) async fn show(
    shop: Session<Shop>,
    format: Format,
    visitor: Visitor,
) -> poem::Result<Response> {
    let cart = shop.cart()?;
    Ok(match format {
        Format::Html => pages::cart(&visitor, &cart).into_response(),
        Format::Json => Json(Count {
            items: visitor.items,
        })
        .into_response(),
    })
}

fn product(id: &str) -> Result<&'static Product, Refused> {
    catalogue::find(id).ok_or(Refused("We do not sell this product, or not any more."))
}

/// The response after a change: a redirect to the cart with a notice, or the number of items as JSON.
fn respond(shop: &Session<Shop>, format: Format, notice: String) -> poem::Result<Response> {
    match format {
        Format::Html => {
            shop.set_notice(notice)?;
            Ok(Redirect::see_other("/cart").into_response())
        }
        Format::Json => {
            let items = cart::items(&shop.cart()?);
            Ok(Json(Count { items }).into_response())
        }
    }
}
