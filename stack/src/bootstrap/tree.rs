//! Places in the tree of a bootstrap.

use serde_json::Value;

/// Path of every connection manager, which has filters and routes in its configuration.
pub(super) const MANAGERS: [&str; 7] =
    ["static_resources", "listeners", "*", "filter_chains", "*", "filters", "*"];

/// Returns the values at a path of keys, where `*` stands for every element of a list.
pub(super) fn all_at<'v>(value: &'v mut Value, path: &[&str]) -> Vec<&'v mut Value> {
    let Some((first, rest)) = path.split_first() else { return vec![value] };
    if *first == "*" {
        let elements = value.as_array_mut().into_iter().flatten();
        return elements.flat_map(|element| all_at(element, rest)).collect();
    }
    value.get_mut(*first).map_or_else(Vec::new, |field| all_at(field, rest))
}
