use poem_session::SessionData;

#[derive(serde::Serialize)]
struct LineItem;

#[derive(SessionData)]
struct Shop {
    last: Option<LineItem>,
}

fn main() {}
