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

const RULES: &[Rule] = &[
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
        "form-packed",
        r"^(\w+)\(.*<<.*\) = (.*)$",
        r"^(\w+)\(.*\) = (.*)$",
        "$1() = $2",
    ),
    rule(
        "form-hardware",
        r#"sa_data="[^"]*"( /\* [0-9a-f:]+ \*/)?"#,
        r#"sa_data="[^"]*"( /\* [0-9a-f:]+ \*/)?"#,
        "sa_data=ADDRESS$1",
    ),
    rule(
        "form-sprinted",
        r"0x([0-9a-f]+) /\* 0x[0-9a-f]+ /\* (\w+_\?\?\?) \*/ \*/",
        r"0x([0-9a-f]+) /\* (\w+_\?\?\?) \*/",
        "0x$1 $2",
    ),
    rule(
        "form-times",
        r"\{tv_sec=\d+, tv_nsec=\d+\} /\* (UTIME_\w+) \*/|\{tv_sec=\d+, tv_nsec=(?:1073741822|1073741823)\}",
        r"0x3f{6}[ef](?: /\* (UTIME_\w+) \*/)?",
        "TIME$1",
    ),
    rule(
        "form-statx",
        r"^statx\((.*), (\|0x[0-9a-f]+)?, (0x)",
        r"^statx\((.*), 0(\|0x[0-9a-f]+)?, (0x)",
        "statx($1, 0$2, $3",
    ),
    rule(
        "form-attributes",
        r"nla_type=[^,}]*",
        r"nla_type=[^,}]*",
        "nla_type=TYPE",
    ),
    rule("form-seconds", r"^()", r"^()| /\* \d+\.\d\d s \*/", ""),
    rule(
        "form-wide",
        r"^(mmap\(0x10000, 4096, 0xf{16}, |remap_file_pages\(.*, )0xf{16}\b",
        r"^(mmap\(0x10000, 4096, 0xf{16}, |remap_file_pages\(.*, )0xf{8}\b",
        "${1}FLAGS",
    ),
    rule(
        "form-chance",
        r"cmsg_len=\d{8,}.*|(sa_handler=)(?:SIG_\w+|0x1 /\* SIG_IGN \*/|0 /\* SIG_DFL \*/|0x1|0)|^rt_sigprocmask\(.* <detached \.\.\.>$|^wait4\(2, .*",
        r"cmsg_len=\d{8,}.*|(sa_handler=)(?:SIG_\w+|0x1 /\* SIG_IGN \*/|0 /\* SIG_DFL \*/|0x1|0)|^rt_sigprocmask\(.*|^wait4\(2, .*",
        "${1}CHANCE",
    ),
    rule(
        "form-hardware-attribute",
        r#"^(sendto)\(.*nlmsg_type=.*\) = (-?\w+).*$"#,
        r#"^(sendto)\(.*nlmsg_type=.*\) = (-?\w+).*$"#,
        "$1() = $2",
    ),
    rule("form-modes", r"000 /\* 000 \*/", r"000", "MODE"),
    rule(
        "form-si",
        r"(si_syscall|si_errno)=\d+",
        r"(si_syscall|si_errno)=0x[0-9a-f]+",
        "$1=NUMBER",
    ),
    rule(
        "form-truncated",
        r"^\| 00000  68 65 78 78 78 .*",
        r"^\| 00000  68 65  .*",
        "he",
    ),
    rule(
        "form-newer",
        r"^(fcntl\(-?\d+, 0x40[34bcde]|landlock_add_rule\(-1, 0x2).*\) = .*",
        r"^(fcntl\(-?\d+, 0x40[34bcde]|landlock_add_rule\(-1, 0x2).*\) = .*",
        "$1",
    ),
    rule(
        "form-sets",
        r"^(io_uring_register|setsockopt|getsockopt|ptrace|prctl|arch_prctl|keyctl|socket|connect|fanotify_init|fanotify_mark|statx|membarrier|ioctl)\(.*\) = (-?\w+).*$",
        r"^(io_uring_register|setsockopt|getsockopt|ptrace|prctl|arch_prctl|keyctl|socket|connect|fanotify_init|fanotify_mark|statx|membarrier|ioctl)\(.*\) = (-?\w+).*$",
        "$1() = $2",
    ),
    rule("form-unknown", r"^()()", r"^()()| /\* \w+_\?\?\? \*/", ""),
];

/// A row of the table.
struct Row {
    id: String,
    /// How many lines of the comparison it is about; 0 where that depends on the machine,
    /// or no program of the comparison shows it.
    lines: usize,
}

/// What rules are looked for in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// Programs, with options as people use them.
    Programs,
    /// Every call, with numbers for names and with everything.
    Forms,
}

impl Of {
    /// Whether a rule of this id has to be needed.
    fn has(self, id: &str) -> bool {
        id.starts_with("form-") == (self == Self::Forms)
    }
}

/// All rules, and how often each was needed.
pub(super) struct Rules {
    rules: Vec<(&'static Rule, Regex, Regex)>,
    rows: Vec<Row>,
    of: Of,
    hits: BTreeMap<&'static str, usize>,
}

impl Rules {
    /// As the document and the patterns have them.
    ///
    /// # Panics
    /// When a rule is in one of them only.
    pub(super) fn read(of: Of) -> Self {
        let pattern = |text| Regex::new(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let rules: Vec<_> = RULES
            .iter()
            // Newer names are in both.
            .filter(|rule| of == Of::Forms || of.has(rule.id))
            .map(|rule| (rule, pattern(rule.theirs), pattern(rule.ours)))
            .collect();
        let rows = rows();
        for (rule, ..) in &rules {
            let known = rows.iter().any(|row| row.id == rule.id);
            assert!(known, "{} is not in the document", rule.id);
        }
        for row in rows.iter().filter(|row| row.lines > 0 && of.has(&row.id)) {
            let known = rules.iter().any(|(rule, ..)| rule.id == row.id);
            assert!(known, "{} has no pattern", row.id);
        }
        Self {
            rules,
            rows,
            of,
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
        let needed = |row: &&Row| {
            row.lines > 0 && self.of.has(&row.id) && !self.hits.contains_key(row.id.as_str())
        };
        let idle = self.rows.iter().filter(needed);
        idle.map(|row| row.id.as_str()).collect()
    }
}

/// The rows of tables that begin with an id in backquotes and end with a number.
fn rows() -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/STRACE-COMPAT.md");
    let text = std::fs::read_to_string(path).expect("a document");
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.strip_suffix('|')?.split('|');
        let id = cells.next()?.trim().strip_suffix('`')?.to_owned();
        let lines = cells.next_back()?.trim().parse().ok()?;
        Some(Row { id, lines })
    };
    let rows: Vec<Row> = text.lines().filter_map(row).collect();
    assert!(!rows.is_empty(), "no rules");
    rows
}
