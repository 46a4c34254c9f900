use poem_session::{Session, SessionData};

macro_rules! session_data {
    ($name:ident, $namespace:literal, $($field:ident: $ty:ty),*; $default:ident: $of:ty = $value:expr) => {
        #[derive(SessionData)]
        #[session(namespace = $namespace)]
        struct $name {
            $($field: $ty,)*
            #[session(default = $value)]
            $default: $of,
        }
    };
}

session_data!(Shop, "macro", user: Option<u64>, name: Option<String>; count: u32 = 1 + 1);

fn methods(session: &Session<Shop>) {
    let _ = (session.user(), session.set_name(String::new()), session.count());
}

fn main() {
    let _ = methods;
    assert_eq!(Shop::COUNT.field().name(), "macro.count");
}
