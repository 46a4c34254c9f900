//! The demonstration's accounts.
//!
//! They are printed on the sign-in page, so there is nothing to protect. A real application keeps
//! a salted hash of each password (argon2) in its database, and slows repeated guesses down.

/// Someone with an account.
pub(crate) struct Customer {
    pub(crate) user: &'static str,
    pub(crate) password: &'static str,
    pub(crate) name: &'static str,
}

/// Everybody with an account.
pub(crate) static CUSTOMERS: [Customer; 2] = [
    Customer {
        user: "emily",
        password: "feathers",
        name: "Emily",
    },
    Customer {
        user: "basho",
        password: "frogpond",
        name: "Bashō",
    },
];

/// The customer with this name and password.
pub(crate) fn sign_in(user: &str, password: &str) -> Option<&'static Customer> {
    find(user).filter(|customer| customer.password == password)
}

/// The customer with this user name, in whatever case it was typed.
pub(crate) fn find(user: &str) -> Option<&'static Customer> {
    CUSTOMERS
        .iter()
        .find(|customer| customer.user.eq_ignore_ascii_case(user.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_password_signs_nobody_in() {
        assert_eq!(sign_in("emily", "feathers").unwrap().name, "Emily");
        assert_eq!(sign_in(" Emily ", "feathers").unwrap().name, "Emily");
        assert!(sign_in("emily", "frogpond").is_none());
        assert!(sign_in("emily", "").is_none());
        assert!(sign_in("", "").is_none());
    }
}
