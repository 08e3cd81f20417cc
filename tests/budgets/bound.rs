//! A count and its bound.

/// Checks that a count is at most `bound`. Prints both, for `--show-output`.
pub fn assert_at_most(bound: f64, what: &str, count: f64) {
    let rounded = (count * 100.0).round() / 100.0;
    println!("{what}: {rounded}, at most {bound}");
    assert!(count <= bound, "{what}: {rounded}; the bound is {bound}");
}
