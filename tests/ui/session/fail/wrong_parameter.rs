use poem::{Request, web::Form};
use poem_session::session;

#[derive(serde::Deserialize)]
struct Item {
    id: u64,
}

#[session]
async fn bare(_req: &Request, _item: Item, _ok: Form<Item>) {}

#[session]
async fn number(_id: u64) {}

fn main() {}
