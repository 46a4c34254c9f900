use poem::{
    Request,
    http::{HeaderMap, Method, Uri},
    web::{Data, Form, Json, LocalAddr, Path, Query, RemoteAddr},
};
use poem_session::{Session, SessionData, session};

#[derive(SessionData)]
struct Shop {
    user: Option<u64>,
    #[session(default)]
    cart: Vec<u64>,
}

#[derive(SessionData)]
struct Auth {
    name: Option<String>,
}

#[session]
async fn handle(shop: Session<Shop>, auth: Session<Auth>) -> poem::Result<String> {
    shop.set_user(5)?;
    shop.update_cart(|cart| cart.push(1))?;
    Ok(auth.name()?.unwrap_or_default())
}

#[session]
async fn snapshots(shop: Shop, Auth { name }: Auth) -> String {
    format!("{} {:?} {name:?}", shop.cart.len(), shop.user)
}

#[session]
async fn written_back(shop: &mut Shop, _: &mut Auth, auth: Session<Shop2>) {
    shop.cart.clear();
    let _ = auth;
}

#[derive(SessionData)]
struct Shop2 {}

#[session(or_redirect = "/login")]
async fn keys(
    #[key(Shop::USER)] user: u64,
    #[key(Shop::USER)] again: Option<u64>,
    #[key(Shop::CART)] cart: Vec<u64>,
    #[key(crate::Auth::NAME)] mut name: Option<String>,
    #[key(<Shop>::CART)] mut again_cart: Vec<u64>,
) -> String {
    name.get_or_insert_default().push('x');
    again_cart.clear();
    format!("{user} {again:?} {} {name:?}", cart.len())
}

#[session]
async fn references(
    request: &Request,
    _: &Uri,
    _: Method,
    _: &HeaderMap,
    _: &RemoteAddr,
    _: &LocalAddr,
    Data(number): Data<&u64>,
    option: Option<Data<&String>>,
) -> String {
    format!("{} {number} {}", request.uri().path(), option.is_some())
}

#[session]
async fn changed_in_the_handler(
    mut headers: HeaderMapOf,
    Shop { mut cart, .. }: Shop,
    Json(mut number): Json<u64>,
) -> String {
    headers.0.clear();
    cart.clear();
    number += 1;
    number.to_string()
}

struct HeaderMapOf(HeaderMap);

impl<'a> poem::FromRequest<'a> for HeaderMapOf {
    async fn from_request(
        request: &'a Request,
        _: &mut poem::RequestBody,
    ) -> poem::Result<Self> {
        Ok(Self(request.headers().clone()))
    }
}

#[session]
async fn others(
    Path((a, b)): Path<(u64, String)>,
    Query(query): Query<Vec<(String, String)>>,
    form: poem::Result<Form<Vec<(String, String)>>>,
    Json(_): Json<u64>,
    _: String,
) -> String {
    format!("{a} {b} {} {}", query.len(), form.is_ok())
}

#[session]
async fn result_of_a_session(shop: poem::Result<Session<Shop>>) -> String {
    shop.is_ok().to_string()
}

fn main() {
    let _ = poem::Route::new()
        .at("/a", poem::get(handle).post(snapshots).put(written_back))
        .at("/b", poem::get(keys).post(references).put(others))
        .at("/c", poem::get(result_of_a_session).post(changed_in_the_handler));
}
