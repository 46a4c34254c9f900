use poem::Request;
use poem_session::session;

#[session]
async fn named<'a>(request: &'a Request) -> String {
    request.uri().path().to_owned()
}

#[session]
async fn bounded<'a, 'b: 'a, T: 'a>(_request: &'a Request)
where
    T: PartialEq<&'b str>,
{
}

fn main() {
    let _ = poem::Route::new().at("/", poem::get(named));
}
