use poem_session::SessionData;

/// With another derive, and with several `#[session]` attributes.
#[derive(SessionData, Default, Clone)]
#[session(namespace = "my-shop")]
#[session(crate = poem_session)]
struct Shop {
    user: Option<u64>,
    #[session(default)]
    cart: Vec<String>,
    #[session(default = 3, alias = "limit")]
    #[session(rename = "max", alias = "old.limit")]
    limit: u32,
    #[session(default = Some("en".to_owned()))]
    language: Option<String>,
    #[session(flash)]
    notice: Option<String>,
    #[session(flash, default = vec![1, 2])]
    numbers: std::vec::Vec<u8>,
    #[session(skip)]
    cache: String,
    #[session(skip)]
    id: u8,
    full: std::option::Option<u8>,
}

#[derive(SessionData)]
struct ShopFloor2 {}

#[derive(SessionData)]
struct HTTPState {
    one_time_code: Option<String>,
}

fn main() {
    let names: Vec<&str> = Shop::FIELDS.iter().map(|field| field.name()).collect();
    assert_eq!(
        names,
        [
            "my-shop.user",
            "my-shop.cart",
            "my-shop.max",
            "my-shop.language",
            "my-shop.notice",
            "my-shop.numbers",
            "my-shop.full"
        ]
    );
    assert_eq!(Shop::LIMIT.field().aliases(), ["my-shop.limit", "old.limit"]);
    assert!(Shop::NOTICE.field().is_flash() && !Shop::USER.field().is_flash());
    assert!(ShopFloor2::FIELDS.is_empty());
    assert_eq!(HTTPState::ONE_TIME_CODE.field().name(), "http_state.one_time_code");
    let _ = Shop::default().cache.len() + usize::from(Shop::default().id);
}
