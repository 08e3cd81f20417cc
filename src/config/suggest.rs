//! Suggestions for misspelt words: "did you mean".

/// ` (did you mean WORD?)` with the candidate closest to `word`; empty if none is close.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    closest(word, candidates).map(|candidate| format!(" (did you mean {candidate}?)")).unwrap_or_default()
}

/// The candidate with the smallest edit distance to `word`, ignoring case. The distance is at most a third of the
/// length of `word`; for a word of two letters it may be 1, for one of a single letter it must be 0.
fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.to_ascii_lowercase().chars().collect();
    let max_distance = (word.len() / 3).max(1);
    let distances = candidates.into_iter().filter_map(|candidate| {
        let letters: Vec<char> = candidate.to_ascii_lowercase().chars().collect();
        let may_be_close = word.len().abs_diff(letters.len()) <= max_distance;
        may_be_close.then(|| (edit_distance(&word, &letters), candidate))
    });
    let (distance, candidate) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= max_distance && distance < word.len()).then_some(candidate)
}

/// The optimal string alignment distance: insertions, deletions, replacements and swaps of neighbours.
fn edit_distance(a: &[char], b: &[char]) -> usize {
    // rows[i][j] is the distance between the first i characters of `a` and the first j of `b`.
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            if i == 0 || j == 0 {
                rows[i][j] = i + j;
                continue;
            }
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            rows[i][j] = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                rows[i][j] = rows[i][j].min(rows[i - 2][j - 2] + 1);
            }
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closest_finds_the_candidate_with_the_smallest_edit_distance() {
        let known = ["operator", "node", "nodes:invoke", "clients:read", "*"];
        for (word, expected) in [
            ("nodes", Some("node")),
            ("ndoe", Some("node")),
            ("NODE", Some("node")),
            ("opertor", Some("operator")),
            ("client:read", Some("clients:read")),
            ("node:invoke", Some("nodes:invoke")),
            ("probe", None),
            ("", None),
            ("x", None),
            ("clients:write-everything", None),
        ] {
            assert_eq!(closest(word, known), expected, "{word}");
        }
        assert_eq!(did_you_mean("nodes", known), " (did you mean node?)");
        assert_eq!(did_you_mean("probe", known), "");
    }
}
