//! docs/TESTING.md and the tests say the same.

use std::collections::{BTreeMap, BTreeSet};

use pai_tests::docs;

/// Cases without a test of their own: what the row says is shown by others.
const SHOWN_BY_OTHERS: [u32; 1] = [58];

/// The tests of each row of the table, by its number.
fn rows() -> BTreeMap<u32, BTreeSet<String>> {
    let mut rows = BTreeMap::new();
    for [number, what, names] in docs::rows("docs/TESTING.md") {
        let Ok(number) = number.parse() else { continue };
        assert!(!what.is_empty(), "row {number} is empty");
        let known = rows.insert(number, docs::names(&names));
        assert!(known.is_none(), "two rows {number}");
    }
    rows
}

/// The row that a test belongs to by its name.
fn row_of(test: &str) -> Option<u32> {
    test.strip_prefix('c')?.get(..2)?.parse().ok()
}

#[test]
fn every_case_has_its_row() {
    let rows = rows();
    let numbers: Vec<u32> = rows.keys().copied().collect();
    assert_eq!(numbers, (1..=71).collect::<Vec<_>>());
    for (number, names) in rows {
        let own = names.iter().filter(|name| row_of(name) == Some(number));
        let others = SHOWN_BY_OTHERS.contains(&number);
        assert!(
            others || own.count() > 0,
            "row {number} has no test of its own"
        );
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let tests = docs::tests();
    for (number, names) in rows() {
        for name in names {
            assert!(tests.contains(&name), "row {number}: no test {name}");
        }
    }
}

#[test]
fn every_test_of_a_case_is_named() {
    let rows = rows();
    let tests = docs::tests();
    let of_cases = tests.iter().filter(|test| row_of(test).is_some());
    for test in of_cases.clone() {
        let number = row_of(test).expect("seen above");
        let named = rows.get(&number).is_some_and(|names| names.contains(test));
        assert!(named, "{test} is not in row {number} of docs/TESTING.md");
    }
    assert!(of_cases.count() > 100);
}
