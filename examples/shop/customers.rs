//! The accounts of the demo.
//!
//! The sign-in page shows the passwords, so they need no protection. A real application stores salted hashes
//! (argon2) in its database, and limits the rate of attempts.

/// A customer with an account.
pub(crate) struct Customer {
    pub(crate) user: &'static str,
    pub(crate) password: &'static str,
    pub(crate) name: &'static str,
}

/// All customers with an account.
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

/// The customer with this user name and password.
pub(crate) fn sign_in(user: &str, password: &str) -> Option<&'static Customer> {
    find(user).filter(|customer| customer.password == password)
}

/// The customer with this user name. Ignores case and surrounding spaces.
pub(crate) fn find(user: &str) -> Option<&'static Customer> {
    CUSTOMERS
        .iter()
        .find(|customer| customer.user.eq_ignore_ascii_case(user.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_needs_the_right_password() {
        assert_eq!(sign_in("emily", "feathers").unwrap().name, "Emily");
        assert_eq!(sign_in(" Emily ", "feathers").unwrap().name, "Emily");
        assert!(sign_in("emily", "frogpond").is_none());
        assert!(sign_in("emily", "").is_none());
        assert!(sign_in("", "").is_none());
    }
}
