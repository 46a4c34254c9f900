use poem::{Request, handler, web::Form};
use poem_session::{Session, SessionData, session};

#[derive(SessionData)]
struct Shop {
    user: Option<u64>,
}

#[handler]
#[session]
async fn one(_shop: Session<Shop>) {}

#[handler]
#[session(regenerate)]
async fn several(_shop: Session<Shop>, _request: &Request, _form: Form<Vec<u64>>) {}

#[handler]
#[session]
async fn none() {}

#[handler]
#[session]
fn not_async(_shop: Session<Shop>) -> String {
    String::new()
}

fn main() {
    let _ = poem::Route::new().at("/", poem::get(one));
}
