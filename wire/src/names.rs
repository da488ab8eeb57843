//! Comparison of names by words: of headers, models, tenants. And names that are cut.
//!
//! The C library of WebAssembly compares byte by byte, at twenty instructions each, and a request has some twenty
//! names compared, mostly with their equals: a tenth of a small request's work was there.

use std::cmp::Ordering;

/// True if two names are the same.
#[inline]
#[must_use]
pub fn are_equal(left: &str, right: &str) -> bool {
    left.len() == right.len() && order_of_words(left.as_bytes(), right.as_bytes()).is_eq()
}

/// Orders names for a table of their own: by their lengths, and then by words. It is not the alphabet's order.
#[inline]
pub(crate) fn order(left: &str, right: &str) -> Ordering {
    let lengths = left.len().cmp(&right.len());
    lengths.then_with(|| order_of_words(left.as_bytes(), right.as_bytes()))
}

/// Cuts a text to at most `max` bytes, between two characters.
pub(crate) fn clip(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or_default()
}

fn order_of_words(left: &[u8], right: &[u8]) -> Ordering {
    let ((left, left_rest), (right, right_rest)) = (left.as_chunks::<8>(), right.as_chunks::<8>());
    for (a, b) in left.iter().zip(right) {
        let (a, b) = (u64::from_le_bytes(*a), u64::from_le_bytes(*b));
        if a != b {
            return a.cmp(&b);
        }
    }
    for (a, b) in left_rest.iter().zip(right_rest) {
        if a != b {
            return a.cmp(b);
        }
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_equal_by_all_their_bytes() {
        let name = "a-name-of-many-words-é";
        for length in 0..20 {
            let one = &name[..length];
            let same = one.to_owned();
            assert!(are_equal(one, &same));
            assert_eq!(order(one, one), Ordering::Equal);
            assert_eq!(order(one, name), Ordering::Less);
            for at in 0..length {
                let mut other = one.to_owned();
                other.replace_range(at..=at, "B");
                assert!(!are_equal(one, &other), "{other}");
                assert_ne!(order(one, &other), Ordering::Equal);
                assert_eq!(order(one, &other), order(&other, one).reverse());
            }
        }
    }
}
