//! Which of a row of calls.

use pai_plugin::{Error, Result};

/// From the first to the last, every so many; the first of all is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct When {
    first: u64,
    last: u64,
    step: u64,
}

impl When {
    /// All of them.
    pub(crate) const ALWAYS: Self = Self {
        first: 1,
        last: u64::MAX,
        step: 1,
    };

    /// `FIRST[..LAST][+[STEP]]`; without any of these, only that one.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            Error::new(format!(
                "{text:?} is none of the forms N, N+, N+STEP, FIRST..LAST, \
                FIRST..LAST+STEP"
            ))
        };
        let number = |text: &str| match text.parse::<u64>() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(wrong()),
        };
        let (range, step) = match text.split_once('+') {
            None => (text, None),
            Some((range, "")) => (range, Some(1)),
            Some((range, step)) => (range, Some(number(step)?)),
        };
        let (first, last) = match range.split_once("..") {
            Some((first, last)) => (number(first)?, number(last)?),
            None if step.is_some() => (number(range)?, u64::MAX),
            None => (number(range)?, number(range)?),
        };
        if last < first {
            return Err(wrong());
        }
        let step = step.unwrap_or(1);
        Ok(Self { first, last, step })
    }

    pub(crate) fn has(self, number: u64) -> bool {
        (self.first..=self.last).contains(&number)
            && (number - self.first).is_multiple_of(self.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form() {
        for (text, numbers) in [
            ("1", &[1][..]),
            ("3", &[3]),
            ("7+", &[7, 8, 9, 10]),
            ("2+3", &[2, 5, 8]),
            ("3..5", &[3, 4, 5]),
            ("2..8+4", &[2, 6]),
            ("4..4", &[4]),
            ("3..5+", &[3, 4, 5]),
        ] {
            let when = When::parse(text).unwrap();
            let found: Vec<_> = (1..=10).filter(|number| when.has(*number)).collect();
            assert_eq!(found, numbers, "{text}");
        }
        for wrong in [
            "", "0", "x", "+", "1+0", "1..", "..2", "5..3", "-1", "1++", "1+1..2",
        ] {
            assert!(When::parse(wrong).is_err(), "{wrong}");
        }
    }
}
