use poem_session::{SessionData, session};

#[derive(SessionData)]
struct Shop {
    r#type: Option<u64>,
}

#[session]
async fn r#match(#[key(Shop::TYPE)] r#type: u64, shop: &mut Shop) -> String {
    shop.r#type = None;
    r#type.to_string()
}

fn main() {
    let _ = poem::get(r#match);
}
