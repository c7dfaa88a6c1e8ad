//! docs/TESTING.md and the tests say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The Rust sources below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Names of all functions that are marked as tests.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in ["tests/tests", "tests/host", "host/crates"] {
        for path in sources(&repository().join(folder)) {
            let text = fs::read_to_string(&path).expect("UTF-8");
            let mut marked = false;
            for line in text.lines().map(str::trim) {
                if let Some(rest) = line.strip_prefix("fn ").filter(|_| marked) {
                    let name = rest.split(['(', '<']).next().expect("a name");
                    names.insert(name.to_owned());
                }
                marked = line == "#[test]" || (marked && line.starts_with("#["));
            }
        }
    }
    names
}

/// The tests of each row of the table, by its number.
fn rows() -> BTreeMap<u32, BTreeSet<String>> {
    let text = fs::read_to_string(repository().join("docs/TESTING.md")).expect("UTF-8");
    let mut rows = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
        let [number, _, names] = cells[..] else {
            continue;
        };
        let Ok(number) = number.trim().parse() else {
            continue;
        };
        let names: BTreeSet<String> = names
            .split(',')
            .map(|name| {
                let name = name.trim();
                let name = name.strip_prefix('`').and_then(|n| n.strip_suffix('`'));
                name.unwrap_or_else(|| panic!("row {number}: {names}"))
                    .to_owned()
            })
            .collect();
        assert!(rows.insert(number, names).is_none(), "two rows {number}");
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
    assert_eq!(numbers, (1..=46).collect::<Vec<_>>());
    for (number, names) in rows {
        let own = names.iter().filter(|name| row_of(name) == Some(number));
        assert!(own.count() > 0, "row {number} has no test of its own");
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let tests = tests();
    for (number, names) in rows() {
        for name in names {
            assert!(tests.contains(&name), "row {number}: no test {name}");
        }
    }
}

#[test]
fn every_test_of_a_case_is_named() {
    let rows = rows();
    let tests = tests();
    let of_cases = tests.iter().filter(|test| row_of(test).is_some());
    for test in of_cases.clone() {
        let number = row_of(test).expect("seen above");
        let named = rows.get(&number).is_some_and(|names| names.contains(test));
        assert!(named, "{test} is not in row {number} of docs/TESTING.md");
    }
    assert!(of_cases.count() > 100);
}
