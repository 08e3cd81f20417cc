//! A count beside its bound.

/// Asserts that a count is within its bound. Says both, for `--show-output`.
pub fn assert_at_most(bound: f64, what: &str, counted: f64) {
    let shown = (counted * 100.0).round() / 100.0;
    println!("{what}: {shown}, at most {bound}");
    assert!(counted <= bound, "{what}: {shown}; the bound is {bound}");
}
