//! Sign-in, and the page of a customer who has.

use std::time::Duration;

use maud::{Markup, html};

use super::{Visitor, layout::page};
use crate::customers::CUSTOMERS;

/// `GET /login`, and the answer to a `POST` that was `refused`: `user` is what was typed.
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
                    "Fill a cart first if you like: signing in changes the session's id and keeps "
                    "what is in it."
                }
            }
        }
    };
    page("Sign in", "/login", Some(visitor), &content)
}

/// What the customer's page tells about the session it was opened with.
pub(crate) struct Session {
    /// The name that logs and admin pages may show.
    pub(crate) public_id: String,
    /// How long ago the customer signed in.
    pub(crate) signed_in: Option<Duration>,
    /// In what time it would have ended without this visit.
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
                    dt { "Would have ended" } dd { "in " (in_words(session.left)) ", had you not come by" }
                    dt { "Known to the shop as" } dd { code { (session.public_id) } }
                    dt { "Holds" }
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

/// About how long that is, to be read in a sentence.
fn in_words(duration: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    // Half a unit more, so that 29:59 reads as 30 minutes.
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
    fn durations_read_as_one_would_say_them() {
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
