//! A cart: a value of one's own type, changed in two ways.
//!
//! ```sh
//! cargo run --bin shopping_cart
//!
//! curl -c jar -b jar -d product=pen -d quantity=2 http://127.0.0.1:3000/add
//! curl -c jar -b jar -d product=ink http://127.0.0.1:3000/add
//! curl -c jar -b jar -d product=pen http://127.0.0.1:3000/remove
//! curl -c jar -b jar http://127.0.0.1:3000/
//! # Many at once, of which none is lost:
//! seq 50 | xargs -P 50 -I% curl -s -b jar -d product=ink -o /dev/null http://127.0.0.1:3000/add
//! curl -c jar -b jar http://127.0.0.1:3000/                     # 51 × ink
//! ```

use std::error::Error;

use poem::{EndpointExt, Route, get, post, web::Form};
use poem_session::{Session, SessionData, Sessions, session, store::MemoryStore};
use poem_session_examples::serve;
use serde::{Deserialize, Serialize};

#[derive(SessionData)]
struct Shop {
    #[session(default)]
    cart: Vec<Item>,
}

/// Any type that serde can write and read will do.
#[derive(Clone, Serialize, Deserialize)]
struct Item {
    product: String,
    #[serde(default = "one")]
    quantity: u32,
}

fn one() -> u32 {
    1
}

#[derive(Deserialize)]
struct Remove {
    product: String,
}

/// The closure runs again on the newer cart if another request was faster: both additions count.
#[session]
async fn add(shop: Session<Shop>, Form(item): Form<Item>) -> poem::Result<()> {
    shop.update_cart(move |cart| {
        match cart.iter_mut().find(|line| line.product == item.product) {
            Some(line) => line.quantity = line.quantity.saturating_add(item.quantity),
            None => cart.push(item.clone()),
        }
    })?;
    Ok(())
}

/// The plain struct: what differs afterwards is written back, field by field. Of two requests at once
/// that change the same field, the later one wins.
#[session]
async fn remove(shop: &mut Shop, Form(form): Form<Remove>) {
    shop.cart.retain(|line| line.product != form.product);
}

/// A copy, to read.
#[session]
async fn show(shop: Shop) -> String {
    let line = |item: &Item| format!("{} × {}", item.quantity, item.product);
    let lines: Vec<_> = shop.cart.iter().map(line).collect();
    lines.join("\n") + "\n"
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sessions = Sessions::builder(MemoryStore::new()).build()?;
    let app = Route::new()
        .at("/", get(show))
        .at("/add", post(add))
        .at("/remove", post(remove))
        .with(sessions);
    Ok(serve(app).await?)
}
