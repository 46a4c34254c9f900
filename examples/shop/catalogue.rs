//! The products of the shop.

use std::fmt;

/// A product of the shop.
#[derive(Debug)]
pub(crate) struct Product {
    /// Identifies the product in forms and in carts.
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) detail: &'static str,
    pub(crate) price: Price,
    /// An inline SVG.
    pub(crate) picture: &'static str,
    /// The colour behind the picture: a class of the stylesheet.
    pub(crate) tint: &'static str,
}

/// An amount of money, in cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Price(pub(crate) u32);

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "€{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// The product with this id.
pub(crate) fn find(id: &str) -> Option<&'static Product> {
    PRODUCTS.iter().find(|product| product.id == id)
}

/// All products, in the order of the first page.
pub(crate) static PRODUCTS: [Product; 12] = [
    Product {
        id: "day-book",
        name: "Day Book",
        detail: "192 ruled pages, sewn to lie flat, with an elastic that holds.",
        price: Price(18_00),
        picture: include_str!("pictures/day-book.svg"),
        tint: "sand",
    },
    Product {
        id: "heron-pen",
        name: "Heron fountain pen",
        detail: "A light resin pen with a fine steel nib, filled by piston.",
        price: Price(46_00),
        picture: include_str!("pictures/heron-pen.svg"),
        tint: "sky",
    },
    Product {
        id: "iron-blue",
        name: "Ink No. 4, Iron Blue",
        detail: "30\u{a0}ml of iron-gall ink: writes blue, dries nearly black.",
        price: Price(12_00),
        picture: include_str!("pictures/iron-blue.svg"),
        tint: "rose",
    },
    Product {
        id: "laid-paper",
        name: "Laid letter paper",
        detail: "Fifty cream sheets, A5, 100\u{a0}g, that take ink without feathering.",
        price: Price(14_50),
        picture: include_str!("pictures/laid-paper.svg"),
        tint: "sage",
    },
    Product {
        id: "envelopes",
        name: "Lined envelopes",
        detail: "Twenty-five C6 envelopes with a red tissue lining.",
        price: Price(9_80),
        picture: include_str!("pictures/envelopes.svg"),
        tint: "sky",
    },
    Product {
        id: "sealing-wax",
        name: "Sealing wax and stamp",
        detail: "One stick of vermilion wax and a brass seal with a leaf.",
        price: Price(16_00),
        picture: include_str!("pictures/sealing-wax.svg"),
        tint: "sand",
    },
    Product {
        id: "cedar-pencils",
        name: "Six cedar pencils",
        detail: "From 2H to 4B, for sketches and for sums.",
        price: Price(8_40),
        picture: include_str!("pictures/cedar-pencils.svg"),
        tint: "sage",
    },
    Product {
        id: "pen-pot",
        name: "Stoneware pen pot",
        detail: "Thrown by hand, glazed grey-green, heavy enough not to tip.",
        price: Price(17_00),
        picture: include_str!("pictures/pen-pot.svg"),
        tint: "rose",
    },
    Product {
        id: "rocker-blotter",
        name: "Rocker blotter",
        detail: "Beech and brass, with ten strips of blotting paper.",
        price: Price(24_00),
        picture: include_str!("pictures/rocker-blotter.svg"),
        tint: "sky",
    },
    Product {
        id: "brass-ruler",
        name: "Brass ruler",
        detail: "15\u{a0}cm, engraved on both sides. Ages well, measures the same.",
        price: Price(21_00),
        picture: include_str!("pictures/brass-ruler.svg"),
        tint: "sage",
    },
    Product {
        id: "postcards",
        name: "Twelve postcards",
        detail: "Linocut landscapes on thick card, with room for four lines.",
        price: Price(11_00),
        picture: include_str!("pictures/postcards.svg"),
        tint: "sand",
    },
    Product {
        id: "paper-knife",
        name: "Paper knife",
        detail: "A walnut handle and a dull blade that opens letters, not fingers.",
        price: Price(19_50),
        picture: include_str!("pictures/paper-knife.svg"),
        tint: "rose",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_product_is_found_by_its_own_id() {
        for product in &PRODUCTS {
            assert!(std::ptr::eq(find(product.id).unwrap(), product));
        }
        assert!(find("").is_none());
    }

    #[test]
    fn prices_show_two_decimals() {
        assert_eq!(Price(9_05).to_string(), "€9.05");
    }
}
