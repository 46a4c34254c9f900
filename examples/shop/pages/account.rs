//! The sign-in page, and the page of a signed-in customer.

use std::time::Duration;

use maud::{Markup, html};

use super::{Visitor, layout::page};
use crate::customers::CUSTOMERS;

/// `GET /login`, and the response to a `POST` that was `refused`. `user` is the name that the visitor entered.
pub(crate) fn sign_in(visitor: &Visitor, user: &str, refused: bool) -> Markup {
    let content = html! {
        div.split {
            section {
                h1 { "Sign in" }
                @if refused {
                    p.error #refused role="alert" {
                        "No account has this name and password. Please try again."
                    }
                }
                form.fields method="post" action="/login" aria-describedby=[refused.then_some("refused")] {
                    label for="user" { "User name" }
                    input #user name="user" value=(user) required autocomplete="username"
                        autocapitalize="none" spellcheck="false" aria-invalid=[refused.then_some("true")];
                    label for="password" { "Password" }
                    input #password name="password" type="password" required
                        autocomplete="current-password" aria-invalid=[refused.then_some("true")];
                    button { "Sign in" }
                }
            }
            section.card aria-labelledby="accounts" {
                h2 #accounts { "Accounts to try" }
                table {
                    thead { tr { th scope="col" { "User name" } th scope="col" { "Password" } } }
                    tbody {
                        @for customer in &CUSTOMERS {
                            tr { td { code { (customer.user) } } td { code { (customer.password) } } }
                        }
                    }
                }
                p.small {
                    "You can fill a cart first: signing in changes the id of the session and keeps "
                    "its data."
                }
            }
        }
    };
    page("Sign in", "/login", Some(visitor), &content)
}

/// The facts about the current session that the customer's page shows.
pub(crate) struct Session {
    /// The public id, which logs and admin pages may show.
    pub(crate) public_id: String,
    /// How long ago the customer signed in.
    pub(crate) signed_in: Option<Duration>,
    /// How long the session would have lasted without this request.
    pub(crate) left: Duration,
    /// The keys that hold a value.
    pub(crate) keys: Vec<&'static str>,
}

/// `GET /dashboard`
pub(crate) fn dashboard(visitor: &Visitor, session: &Session) -> Markup {
    let name = visitor.name.as_deref().unwrap_or("you");
    let content = html! {
        h1 { "Good to see you, " (name) }
        div.cards {
            section.card aria-labelledby="orders" {
                h2 #orders { "Your cart" }
                p {
                    @match visitor.items {
                        0 => "It is empty.",
                        1 => "One thing is waiting in it.",
                        items => { (items) " things are waiting in it." }
                    }
                }
                a.button href="/cart" { "Open the cart" }
            }
            section.card aria-labelledby="session" {
                h2 #session { "Your session" }
                dl.facts {
                    @if let Some(ago) = session.signed_in {
                        dt { "Signed in" } dd { (in_words(ago)) " ago" }
                    }
                    dt { "Without this visit" } dd { "expires in " (in_words(session.left)) }
                    dt { "Public id" } dd { code { (session.public_id) } }
                    dt { "Keys" }
                    dd { @for key in &session.keys { code { (key) } " " } }
                }
            }
            section.card aria-labelledby="leave" {
                h2 #leave { "Done for today?" }
                p { "Signing out ends the session. The cart goes with it." }
                form method="post" action="/logout" { button.quiet { "Sign out" } }
            }
        }
    };
    page("Your account", "/dashboard", Some(visitor), &content)
}

/// An approximate duration in words.
fn in_words(duration: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    // Rounds to the nearest unit: 29:59 is 30 minutes.
    let (count, unit) = match duration.as_secs() {
        0..MINUTE => return "less than a minute".to_owned(),
        seconds if seconds + MINUTE / 2 < HOUR => ((seconds + MINUTE / 2) / MINUTE, "minute"),
        seconds => ((seconds + HOUR / 2) / HOUR, "hour"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_and_written_in_words() {
        for (seconds, words) in [
            (0, "less than a minute"),
            (59, "less than a minute"),
            (61, "1 minute"),
            (29 * 60 + 59, "30 minutes"),
            (59 * 60 + 45, "1 hour"),
            (24 * 3600, "24 hours"),
        ] {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }
}
