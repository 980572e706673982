//! Did you mean …?

/// The one of `allowed` that `word` is most likely meant to be; `None` when none is close.
pub(super) fn suggest<'a>(word: &str, allowed: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    // A third of the letters may be wrong, at most three; a long word is no slip.
    let limit = (word.chars().count() / 3).clamp(1, 3);
    if word.chars().count() > 40 {
        return None;
    }
    let near = allowed.iter().map(|name| (distance(&word, name), *name)).min()?;
    (near.0 <= limit).then_some(near.1)
}

/// Letters to add, drop, change or swap with the next one to get from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![vec![0; to.len() + 1]; from.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=from.len() {
        for j in 1..=to.len() {
            let change = usize::from(from[i - 1] != to[j - 1]);
            let mut best = (rows[i - 1][j - 1] + change).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_and_a_stranger_is_not() {
        let allowed = ["destinations", "discover", "host", "logs", "format", "endpoint"];
        assert_eq!(suggest("destnations", &allowed), Some("destinations"));
        assert_eq!(suggest("fromat", &allowed), Some("format"), "swapped letters are one slip");
        assert_eq!(suggest("Host", &allowed), Some("host"));
        assert_eq!(suggest("log", &allowed), Some("logs"));
        assert_eq!(suggest("outputs", &allowed), None);
        assert_eq!(suggest("", &allowed), None);
        assert_eq!(suggest(&"x".repeat(10_000), &allowed), None);
    }
}
