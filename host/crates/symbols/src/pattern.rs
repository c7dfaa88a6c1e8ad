//! Shell patterns.

use crate::limits;

/// `*` any bytes, `?` one byte, `[a-z]` one of a set, `[!a-z]` one of all
/// others, `\` takes away a meaning. Bytes, not characters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Any,
    One,
    Byte(u8),
    Set { others: bool, ranges: Vec<(u8, u8)> },
}

impl Part {
    /// For all but `Any`.
    fn takes(&self, byte: u8) -> bool {
        match self {
            Part::Any | Part::One => true,
            Part::Byte(own) => *own == byte,
            Part::Set { others, ranges } => {
                ranges.iter().any(|(a, b)| (*a..=*b).contains(&byte)) != *others
            }
        }
    }
}

impl Pattern {
    /// `None` for a text longer than [`limits::PATTERN`].
    pub fn new(text: &[u8]) -> Option<Self> {
        if text.len() > limits::PATTERN {
            return None;
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((first, tail)) = rest.split_first() {
            rest = tail;
            parts.push(match first {
                b'*' if parts.last() == Some(&Part::Any) => continue,
                b'*' => Part::Any,
                b'?' => Part::One,
                b'[' => match set(tail) {
                    Some((part, behind)) => {
                        rest = behind;
                        part
                    }
                    None => Part::Byte(b'['),
                },
                b'\\' if !tail.is_empty() => {
                    rest = &tail[1..];
                    Part::Byte(tail[0])
                }
                byte => Part::Byte(*byte),
            });
        }
        Some(Self { parts })
    }

    /// The text that it stands for, if it is only one.
    pub fn literal(&self) -> Option<Vec<u8>> {
        let byte = |part: &Part| match part {
            Part::Byte(byte) => Some(*byte),
            _ => None,
        };
        self.parts.iter().map(byte).collect()
    }

    /// Whether it stands for this text, as a whole. Takes at most as many steps
    /// as the product of both lengths: only the last `*` is ever reconsidered,
    /// which is enough, as those before took the first place they could.
    pub fn matches(&self, text: &[u8]) -> bool {
        let (mut part, mut at) = (0, 0);
        let mut retry = None;
        loop {
            match self.parts.get(part) {
                Some(Part::Any) => {
                    retry = Some((part + 1, at));
                    part += 1;
                    continue;
                }
                Some(one) if text.get(at).is_some_and(|byte| one.takes(*byte)) => {
                    part += 1;
                    at += 1;
                    continue;
                }
                None if at == text.len() => return true,
                _ => {}
            }
            match retry {
                Some((from, taken)) if taken < text.len() => {
                    retry = Some((from, taken + 1));
                    part = from;
                    at = taken + 1;
                }
                _ => return false,
            }
        }
    }
}

/// What follows a `[`; `None` when it is not closed. A `]` right behind the
/// beginning is one of the set (glob(7)).
fn set(text: &[u8]) -> Option<(Part, &[u8])> {
    let (others, mut rest) = match text {
        [b'!' | b'^', tail @ ..] => (true, tail),
        _ => (false, text),
    };
    let mut ranges = Vec::new();
    loop {
        match rest {
            [b']', tail @ ..] if !ranges.is_empty() => {
                return Some((Part::Set { others, ranges }, tail));
            }
            [a, b'-', b, tail @ ..] if *b != b']' => {
                ranges.push((*a, *b));
                rest = tail;
            }
            [a, tail @ ..] => {
                ranges.push((*a, *a));
                rest = tail;
            }
            [] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern.as_bytes())
            .unwrap()
            .matches(text.as_bytes())
    }

    #[test]
    fn patterns() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("*", "abc"),
            ("abc", "abc"),
            ("a*c", "ac"),
            ("a*c", "abcabc"),
            ("*mem*", "memcpy"),
            ("*mem*", "__memcpy_chk"),
            ("libc.so*", "libc.so.6"),
            ("?b?", "abc"),
            ("[a-c]x[!a-c]", "bxd"),
            ("[]]", "]"),
            ("[a-]", "-"),
            ("[x", "[x"),
            (r"a\*", "a*"),
            (r"\[vdso\]", "[vdso]"),
            ("*a*b*c", "xaxbxcxc"),
            ("a**b", "ab"),
            ("\\", "\\"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("a", ""),
            ("?", ""),
            ("a*c", "abcd"),
            ("[!a]", "a"),
            ("[!a]", ""),
            (r"a\*", "ab"),
            ("*a*b*c", "xaxcxb"),
            ("mem", "memcpy"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
        assert_eq!(Pattern::new(&vec![b'a'; limits::PATTERN + 1]), None);
        let literal = |text: &str| Pattern::new(text.as_bytes()).unwrap().literal();
        assert_eq!(literal(r"a\*b"), Some(b"a*b".to_vec()));
        assert_eq!(literal("a*b"), None);
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "*a".repeat(2000) + "*b";
        assert!(!matches(&pattern, &"a".repeat(16_000)));
    }
}
