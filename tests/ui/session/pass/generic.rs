use poem::{Endpoint, FromRequest, IntoResponse, Route, get, web::{Data, Form}};
use poem_session::{Session, SessionData, session};
use serde::de::DeserializeOwned;

#[derive(SessionData)]
struct Shop {
    user: Option<u64>,
}

trait Repository: Clone + Send + Sync + 'static {
    fn name(&self) -> String;
}

#[derive(Clone)]
struct Memory;

impl Repository for Memory {
    fn name(&self) -> String {
        "memory".to_owned()
    }
}

/// One parameter, with bounds.
#[session]
async fn one<R: Repository>(shop: Session<Shop>, Data(repository): Data<&R>) -> poem::Result<String> {
    Ok(format!("{:?} {}", shop.user()?, repository.name()))
}

/// A `where` clause, a type that no parameter has, and a constant.
#[session(regenerate)]
pub async fn several<T, U, const N: usize>(Form(form): Form<T>, #[key(Shop::USER)] user: u64) -> String
where
    T: DeserializeOwned + Send + AsRef<str>,
    U: ?Sized + 'static,
{
    format!("{} {user} {N} {}", form.as_ref(), std::any::type_name::<U>())
}

#[session]
fn extracted<T>(mut _value: T) -> impl IntoResponse
where
    T: for<'a> FromRequest<'a> + Send,
{
    "extracted"
}

#[session]
async fn number<const N: usize>() -> String {
    N.to_string()
}

fn is_endpoint<E: Endpoint + Send + Sync + 'static>(endpoint: E) -> E {
    endpoint
}

fn main() {
    let _ = Route::new()
        .at("/a", get(one::<Memory>::default()))
        .at("/b", get(is_endpoint(several::<String, str, 3>::default())))
        .at("/c", get(extracted::<String>::default()))
        .at("/d", get(number::<4>::default()));
}
