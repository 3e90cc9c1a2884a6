//! Whether policies name resources that exist.

use std::collections::BTreeSet;

use cedar_policy::{EntityUid, Policy};

use crate::diagnostic::Problem;

/// Names of the entity types whose ids begin with the name of a resource, and so of all but these.
const OTHERS: [&str; 4] = ["Group", "User", "Service", "Action"];

/// Problems with the entities that the policy, which begins at byte `start` of the file, names below unknown resources.
pub(crate) fn check(file: &str, text: &str, start: usize, policy: &Policy, known: &[String]) -> Vec<Problem> {
    let unknown: BTreeSet<EntityUid> = policy
        .entity_literals()
        .into_iter()
        .filter(|literal| !OTHERS.contains(&literal.type_name().basename()) && !known.iter().any(|name| name == resource_of(literal)))
        .collect();
    unknown
        .iter()
        .map(|literal| {
            let written = literal.to_string();
            let offset = text
                .get(start..)
                .and_then(|rest| rest.find(&written))
                .map_or(start, |found| start + found);
            let wanted = resource_of(literal);
            let hint = nearest(wanted, known).map_or_else(
                || format!("the configuration has: {}", known.join(", ")),
                |name| format!("did you mean \"{name}\"?"),
            );
            Problem::at(
                file,
                text,
                offset,
                &format!("{written}: there is no resource \"{wanted}\""),
                Some(&hint),
            )
        })
        .collect()
}

/// The id of everything below a resource is `<resource>/<path>`.
fn resource_of(literal: &EntityUid) -> &str {
    let id: &str = literal.id().unescaped();
    id.split('/').next().unwrap_or(id)
}

/// The known name that differs in the fewest characters, when that is few enough to be a slip.
fn nearest<'known>(wanted: &str, known: &'known [String]) -> Option<&'known String> {
    // Two swapped letters count as two.
    let length = wanted.chars().count();
    let most = if length < 4 { 1 } else { (length / 3).max(2) };
    known
        .iter()
        .map(|name| (distance(wanted, name), name))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Insertions, deletions, replacements, and swaps of neighbours counted as two (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (to, pair) in b.iter().zip(row.windows(2)) {
            let (diagonal, above) = match pair {
                [diagonal, above] => (*diagonal, *above),
                _ => continue,
            };
            let left = next.last().copied().unwrap_or_default();
            next.push((diagonal + usize::from(from != *to)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("paymnets", "payments", 2),
            ("payments", "payment", 1),
            ("abc", "xyz", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn only_slips_have_a_nearest_name() {
        let known = ["payments".to_owned(), "ledger".to_owned()];
        assert_eq!(nearest("paymnets", &known), Some(&known[0]));
        assert_eq!(nearest("warehouse", &known), None);
    }
}
