//! What the documents say of tests, and the tests that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The top of the repository.
pub fn repository() -> PathBuf {
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
pub fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in ["tests/tests", "tests/host", "host/crates", "host/src"] {
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

/// The rows of three cells in the tables of a document, without the heads.
pub fn rows(document: &str) -> Vec<[String; 3]> {
    let text = fs::read_to_string(repository().join(document)).expect("UTF-8");
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('|')) {
        // A bar that belongs to a text is escaped.
        let line = line.replace("\\|", "\0");
        let cells: Vec<String> = line
            .trim_matches('|')
            .split('|')
            .map(|cell| cell.replace('\0', "|").trim().to_owned())
            .collect();
        if let Ok(row) = <[String; 3]>::try_from(cells)
            && !row[0].starts_with("---")
        {
            rows.push(row);
        }
    }
    rows
}

/// The names in backticks of a cell, which has nothing else.
pub fn names(cell: &str) -> BTreeSet<String> {
    cell.split(',')
        .map(|name| {
            let name = name.trim();
            let name = name.strip_prefix('`').and_then(|n| n.strip_suffix('`'));
            name.unwrap_or_else(|| panic!("no names: {cell}"))
                .to_owned()
        })
        .collect()
}

/// The blocks of code in this language.
pub fn blocks<'a>(document: &'a str, language: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let start = format!("```{language}\n");
    let mut rest = document;
    std::iter::from_fn(move || {
        let (_, block) = rest.split_once(&start)?;
        let (block, after) = block.split_once("```").expect("an end");
        rest = after;
        Some(block)
    })
}
