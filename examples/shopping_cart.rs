//! A cart: a session value with a type of the application, changed in two ways.
//!
//! ```sh
//! cargo run --bin shopping_cart
//!
//! curl -c jar -b jar -d product=pen -d quantity=2 http://127.0.0.1:3000/add
//! curl -c jar -b jar -d product=ink http://127.0.0.1:3000/add
//! curl -c jar -b jar -d product=pen http://127.0.0.1:3000/remove
//! curl -c jar -b jar http://127.0.0.1:3000/
//! # Fifty parallel requests, and no change is lost:
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

/// A value can have any type that serde can serialise and deserialise.
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

/// If a concurrent request wrote first, the closure runs again on the newer cart: both additions count.
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

/// Changes the plain struct. Fields that differ after the handler are written back. If two parallel requests change
/// the same field, the later one wins.
#[session]
async fn remove(shop: &mut Shop, Form(form): Form<Remove>) {
    shop.cart.retain(|line| line.product != form.product);
}

/// Reads a copy of the struct.
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
