//! docs/PLUGINS.md shows the programs that are built and run.

use std::collections::BTreeSet;
use std::fs;

use pai_tests::docs;

#[test]
fn the_guide_shows_the_programs_that_are_tested() {
    let guide = fs::read_to_string(docs::repository().join("docs/PLUGINS.md")).expect("UTF-8");
    let shown: BTreeSet<&str> = docs::blocks(&guide, "rust").collect();
    let folder = docs::repository().join("tests/guests/examples");
    let mut programs = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with("guide_")) {
            let source = fs::read_to_string(&path).expect("UTF-8");
            let (_, source) = source.split_once("\n\n").expect("a comment at the head");
            programs.insert(source.to_owned());
        }
    }
    assert_eq!(shown, programs.iter().map(String::as_str).collect());
    assert!(shown.len() >= 5);
}

/// Names in backticks at the head of the rows of the table with this head.
fn names(guide: &str, head: &str) -> BTreeSet<String> {
    let (_, table) = guide.split_once(head).expect("the table");
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    rows.map(|row| row.split('`').nth(1).expect("a name").to_owned())
        .collect()
}

/// The guide knows all capabilities and all fields of the macro.
#[test]
fn the_guide_is_complete() {
    let read = |path| fs::read_to_string(docs::repository().join(path)).expect("UTF-8");
    let guide = read("docs/PLUGINS.md");
    let manifest = read("plugin-sdk/src/manifest.rs");
    let (_, capabilities) = manifest.split_once("pub enum Capability {").expect("it");
    let (capabilities, _) = capabilities.split_once('}').expect("its end");
    let capabilities = capabilities
        .lines()
        .filter_map(|line| line.trim().strip_suffix(','));
    assert_eq!(
        names(&guide, "| capability | allows |"),
        capabilities.map(str::to_owned).collect()
    );
    let macros = read("plugin-sdk/src/macros.rs");
    for field in names(&guide, "| field | |") {
        assert!(macros.contains(&format!("{field}: ")), "{field}");
    }
}
