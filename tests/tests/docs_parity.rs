//! docs/UPSTREAM-PARITY.md has no empty row, and the tests that it names exist.

use pai_tests::docs;

#[test]
fn every_row_says_where_and_by_which_test() {
    let tests = docs::tests();
    let rows = docs::rows("docs/UPSTREAM-PARITY.md");
    let mut missing = Vec::new();
    for [theirs, ours, shown] in &rows {
        assert!(!theirs.is_empty() && !ours.is_empty(), "{theirs} | {ours}");
        if shown == "shown by" {
            continue;
        }
        if let Some(why) = shown.strip_prefix("— ") {
            assert!(why.len() > 10, "{theirs}: why is there no test?");
            continue;
        }
        for name in docs::names(shown) {
            if !tests.contains(&name) {
                missing.push(format!("{theirs}: {name}"));
            }
        }
    }
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
    assert!(rows.len() > 120, "{} rows", rows.len());
}
