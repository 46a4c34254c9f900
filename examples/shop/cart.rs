//! The cart: the data in the session, and the rules for changes.

use serde::{Deserialize, Serialize};

use crate::catalogue::{self, Price, Product};

/// The largest quantity of one product in an order.
pub(crate) const MOST: u32 = 20;

/// One line of the cart, as the session stores it. Names and prices are in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LineItem {
    pub(crate) product: String,
    pub(crate) quantity: u32,
}

/// Adds `quantity` of a product to the cart. The cart holds at most [`MOST`] of each product.
pub(crate) fn add(cart: &mut Vec<LineItem>, product: &Product, quantity: u32) {
    match cart.iter_mut().find(|line| line.product == product.id) {
        Some(line) => line.quantity = line.quantity.saturating_add(quantity).min(MOST),
        None => cart.push(LineItem {
            product: product.id.to_owned(),
            quantity: quantity.min(MOST),
        }),
    }
}

/// Removes a product from the cart, with its whole quantity.
pub(crate) fn remove(cart: &mut Vec<LineItem>, product: &Product) {
    cart.retain(|line| line.product != product.id);
}

/// The quantity of a product in the cart.
pub(crate) fn quantity(cart: &[LineItem], product: &Product) -> u32 {
    cart.iter()
        .filter(|line| line.product == product.id)
        .map(|line| line.quantity)
        .sum()
}

/// The products in the cart with their quantities. An old session may contain a product that the shop no longer
/// sells; it is left out.
pub(crate) fn lines(cart: &[LineItem]) -> impl Iterator<Item = (&'static Product, u32)> {
    cart.iter()
        .filter_map(|line| Some((catalogue::find(&line.product)?, line.quantity)))
}

/// The number of items in the cart.
pub(crate) fn items(cart: &[LineItem]) -> u32 {
    lines(cart).map(|(_, quantity)| quantity).sum()
}

/// The total price of the cart.
pub(crate) fn total(cart: &[LineItem]) -> Price {
    Price(lines(cart).map(|(product, n)| product.price.0 * n).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(id: &str) -> &'static Product {
        catalogue::find(id).unwrap()
    }

    #[test]
    fn adding_the_same_product_again_raises_its_quantity() {
        let mut cart = Vec::new();
        add(&mut cart, product("day-book"), 1);
        add(&mut cart, product("iron-blue"), 2);
        add(&mut cart, product("day-book"), 3);
        assert_eq!(cart.len(), 2);
        assert_eq!(quantity(&cart, product("day-book")), 4);
        assert_eq!(items(&cart), 6);
        assert_eq!(total(&cart), Price(4 * 18_00 + 2 * 12_00));
    }

    #[test]
    fn the_quantity_of_a_line_is_limited() {
        let mut cart = Vec::new();
        add(&mut cart, product("pen-pot"), MOST);
        add(&mut cart, product("pen-pot"), u32::MAX);
        assert_eq!(items(&cart), MOST);
    }

    #[test]
    fn removing_a_product_removes_its_whole_quantity() {
        let mut cart = Vec::new();
        add(&mut cart, product("pen-pot"), 3);
        add(&mut cart, product("day-book"), 1);
        remove(&mut cart, product("pen-pot"));
        assert_eq!(items(&cart), 1);
    }

    #[test]
    fn a_product_that_is_no_longer_sold_is_not_counted() {
        let cart = [LineItem {
            product: "quill".to_owned(),
            quantity: 7,
        }];
        assert_eq!((items(&cart), total(&cart)), (0, Price(0)));
    }
}
