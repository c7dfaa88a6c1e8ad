//! Shell patterns: `*.conf`, `/etc/[ps]*`.

/// Whether all of a name fits a pattern: `*` stands for any bytes, also for slashes,
/// `?` for one, `[a-z]` and `[!a-z]` for one of some, and `\` takes the meaning from the
/// next.
///
/// ```
/// use pai_plugin::pattern::fits;
///
/// assert!(fits("*.conf", b"/etc/ld.so.conf"));
/// assert!(!fits("*.conf", b"/etc/ld.so.conf.d"));
/// ```
pub fn fits(pattern: &str, name: &[u8]) -> bool {
    let pattern = pattern.as_bytes();
    let (mut p, mut n) = (0, 0);
    // Where the last star is, and how much of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, n));
            p += 1;
        } else if let Some(len) = one(&pattern[p..], name[n]) {
            p += len;
            n += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            (p, n) = (at + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// How much of a pattern stands for this byte; nothing if its start does not.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'\\', next, ..] => (next == byte).then_some(2),
        [b'[', ref set @ ..] => match set_end(set) {
            Some(end) => in_set(&set[..end], byte).then_some(end + 2),
            None => (byte == b'[').then_some(1),
        },
        [first, ..] => (first == byte).then_some(1),
    }
}

/// The end of a set; a bracket at its start is one of it.
fn set_end(set: &[u8]) -> Option<usize> {
    let start = 1 + usize::from(set.first().is_some_and(|first| b"!^".contains(first)));
    let end = set.get(start..)?.iter().position(|byte| *byte == b']')?;
    Some(start + end)
}

fn in_set(set: &[u8], byte: u8) -> bool {
    let (not, mut set) = match set {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, set),
    };
    let mut found = false;
    while let [first, rest @ ..] = set {
        set = match rest {
            [b'-', last, rest @ ..] => {
                found |= (*first..=*last).contains(&byte);
                rest
            }
            _ => {
                found |= *first == byte;
                rest
            }
        };
    }
    found != not
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_what_they_should() {
        for (pattern, name, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "/a/b", true),
            ("a*", "ba", false),
            ("*a*b", "xaxbxb", true),
            ("*a*b", "xaxbxc", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("[]]", "]", true),
            ("[a-]", "-", true),
            ("[a", "[a", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
            ("**a", "a", true),
        ] {
            assert_eq!(fits(pattern, name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
