//! The differences from strace that are known: the table of docs/STRACE-COMPAT.md says
//! what they are and why, a rule here what lines look like.

use std::collections::BTreeMap;
use std::path::Path;

use regex_lite::Regex;

/// What is left of a line of strace and of one of ours where nothing but this differs
/// between them: each has a pattern, and both the same text for what it finds.
struct Rule {
    id: &'static str,
    theirs: &'static str,
    ours: &'static str,
    both: &'static str,
}

const fn rule(
    id: &'static str,
    theirs: &'static str,
    ours: &'static str,
    both: &'static str,
) -> Rule {
    Rule {
        id,
        theirs,
        ours,
        both,
    }
}

/// Rules of a part of the document.
pub(super) struct Part {
    heading: &'static str,
    rules: &'static [Rule],
}

/// Of everything.
pub(super) const LINES: Part = Part {
    heading: "## Lines",
    rules: OF_LINES,
};

/// Of what descriptors refer to.
pub(super) const DESCRIPTORS: Part = Part {
    heading: "## Descriptors",
    rules: OF_DESCRIPTORS,
};

const OF_LINES: &[Rule] = &[
    rule(
        "interfaces",
        r#"index=if_nametoindex\("[^"]*"\)"#,
        r#"index=(?:if_nametoindex\("[^"]*"\)|\d+)"#,
        "index=INTERFACE",
    ),
    rule(
        "newer-calls",
        r"^syscall_0x1[c-f].\(.*\) = (-1 \w+|).*",
        r"^[a-z_0-9]+\(.*\) = (-1 \w+|).*",
        "CALL() = $1",
    ),
    rule(
        "newer-names",
        r"^(\w+)\(.*0x[0-9a-f]+( /\* \w+_\?\?\? \*/|\|).*\) = (-1 \w+|).*",
        r"^(\w+)\(.*()\) = (-1 \w+|).*",
        "$1(NAMES) = $3",
    ),
    rule(
        "newer-fields",
        r", \.\.\.\}",
        r", (handled_access_net|scoped)=[^}]*\}",
        ", FIELDS}",
    ),
    rule(
        "clone3-cut",
        r"^(clone3\(.*\}) => \{.*\}(, \d+\) = \w+)$",
        r"^(clone3\(.*\})(, \d+\) = \w+)$",
        "$1$2",
    ),
];

const OF_DESCRIPTORS: &[Rule] = &[
    rule(
        "fds-more",
        r"\b(FICLONE, \d+\)|open_by_handle_at\(.*\) = \d+$|(?:SIOCGSKNS|TIOCGPTPEER), .*\) = \d+$)",
        r"\b(FICLONE, \d+|open_by_handle_at\(.*\) = \d+|(?:SIOCGSKNS|TIOCGPTPEER), .*\) = \d+)<.*>(\)|$)",
        "$1$2",
    ),
    rule(
        "fds-results",
        r"^(mount_setattr\(.*\) = 0)<.*>$",
        r"^(mount_setattr\(.*\) = 0)$",
        "$1",
    ),
    rule(
        "fds-elsewhere",
        r"^(pidfd_getfd\(.*, \d+)<.*>(, 0\) = )",
        r"^(pidfd_getfd\(.*, \d+)(, 0\) = )",
        "$1$2",
    ),
    rule(
        "fds-abbreviated",
        r"(FIDEDUPERANGE, .* info=\[).*, \.\.\.\]",
        r"(FIDEDUPERANGE, .* info=\[)[^<]*, \.\.\.\]",
        "$1...]",
    ),
    rule(
        "fds-elsewhere",
        r"^(kcmp\(\w+, \w+, KCMP_(?:FILE|EPOLL_TFD)), .*(\) = .*)",
        r"^(kcmp\(\w+, \w+, KCMP_(?:FILE|EPOLL_TFD)), [^<]*(\) = .*)",
        "$1, ...$2",
    ),
];

/// A row of the table.
struct Row {
    id: String,
    /// How many lines of the comparison it is about; 0 where that depends on the machine,
    /// or no program of the comparison shows it.
    lines: usize,
}

/// All rules, and how often each was needed.
pub(super) struct Rules {
    rules: Vec<(&'static Rule, Regex, Regex)>,
    rows: Vec<Row>,
    hits: BTreeMap<&'static str, usize>,
}

impl Rules {
    /// As parts of the document and the patterns have them.
    ///
    /// # Panics
    /// When a rule is in one of them only.
    pub(super) fn read(parts: &[Part]) -> Self {
        let pattern = |text| Regex::new(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let rules: Vec<_> = parts
            .iter()
            .flat_map(|part| part.rules)
            .map(|rule| (rule, pattern(rule.theirs), pattern(rule.ours)))
            .collect();
        let rows: Vec<Row> = parts.iter().flat_map(|part| rows(part.heading)).collect();
        for (rule, ..) in &rules {
            let known = rows.iter().any(|row| row.id == rule.id);
            assert!(known, "{} is not in the document", rule.id);
        }
        for row in rows.iter().filter(|row| row.lines > 0) {
            let known = rules.iter().any(|(rule, ..)| rule.id == row.id);
            assert!(known, "{} has no pattern", row.id);
        }
        Self {
            rules,
            rows,
            hits: BTreeMap::new(),
        }
    }

    /// Whether one of our lines is strace's but for what rules say.
    pub(super) fn cover(&mut self, theirs: &str, ours: &[&str]) -> bool {
        let used = ours.iter().find_map(|ours| self.used(theirs, ours));
        for id in used.iter().flatten() {
            *self.hits.entry(id).or_default() += 1;
        }
        used.is_some()
    }

    /// The rules by which these are the same.
    fn used(&self, theirs: &str, ours: &str) -> Option<Vec<&'static str>> {
        let (mut theirs, mut ours) = (theirs.to_owned(), ours.to_owned());
        let mut used = Vec::new();
        for (rule, in_theirs, in_ours) in &self.rules {
            if in_theirs.is_match(&theirs) && in_ours.is_match(&ours) {
                theirs = in_theirs.replace_all(&theirs, rule.both).into_owned();
                ours = in_ours.replace_all(&ours, rule.both).into_owned();
                used.push(rule.id);
            }
        }
        (theirs == ours).then_some(used)
    }

    /// How often each was needed, as lines.
    pub(super) fn report(&self) -> String {
        let line = |(id, hits): (&&str, &usize)| format!("rule {id}: {hits} lines\n");
        self.hits.iter().map(line).collect()
    }

    /// Rules of the document that nothing needs any more.
    pub(super) fn idle(&self) -> Vec<&str> {
        let needed = |row: &&Row| row.lines > 0 && !self.hits.contains_key(row.id.as_str());
        let idle = self.rows.iter().filter(needed);
        idle.map(|row| row.id.as_str()).collect()
    }

    /// The same, of one part.
    pub(super) fn idle_of(&self, part: &Part) -> Vec<&str> {
        let is_of_it = |id: &&str| part.rules.iter().any(|rule| rule.id == *id);
        self.idle().into_iter().filter(is_of_it).collect()
    }
}

/// The rows below a heading that begin with an id in backquotes and end with a number.
fn rows(heading: &str) -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/STRACE-COMPAT.md");
    let text = std::fs::read_to_string(path).expect("a document");
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.strip_suffix('|')?.split('|');
        let id = cells.next()?.trim().strip_suffix('`')?.to_owned();
        let lines = cells.next_back()?.trim().parse().ok()?;
        Some(Row { id, lines })
    };
    let below = text.lines().skip_while(|line| *line != heading).skip(1);
    let below = below.take_while(|line| !line.starts_with("## "));
    let rows: Vec<Row> = below.filter_map(row).collect();
    assert!(!rows.is_empty(), "no rules below {heading}");
    rows
}
