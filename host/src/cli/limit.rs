//! `--limit memory=64M,time=5s`.

use std::time::Duration;

use pai_host::session::Limits;

/// One limit that the user set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Most memory a plugin may have, bytes.
    Memory(usize),
    /// Longest that a plugin may compute between two waits.
    Time(Duration),
}

/// What a 32-bit component can address.
const MAX_MEMORY: usize = 4 << 30;
/// One page of WebAssembly.
const MIN_MEMORY: usize = 64 << 10;
const MAX_TIME: Duration = Duration::from_secs(3600);
const MIN_TIME: Duration = Duration::from_millis(1);

impl Limit {
    /// Reads `NAME=VALUE`.
    ///
    /// # Errors
    /// A text for the user.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .ok_or("a limit is NAME=VALUE, such as memory=64M or time=5s")?;
        match name {
            "memory" => memory(value).map(Limit::Memory),
            "time" => time(value).map(Limit::Time),
            _ => Err(format!(
                "no limit is named {name:?}; there are memory and time"
            )),
        }
    }

    /// The usual limits with these changes; the last one counts.
    pub(crate) fn apply(limits: &[Self]) -> Limits {
        let mut all = Limits::default();
        for limit in limits {
            match *limit {
                Limit::Memory(bytes) => all.memory = bytes,
                Limit::Time(time) => all.time = time,
            }
        }
        all
    }
}

/// Splits a number from its unit.
fn number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

fn memory(text: &str) -> Result<usize, String> {
    let wrong = "a memory size is a number with K, M or G, such as 64M";
    let (number, unit) = number(text).ok_or(wrong)?;
    let unit = match unit {
        "" => 1,
        "K" | "k" | "KiB" => 1 << 10,
        "M" | "m" | "MiB" => 1 << 20,
        "G" | "g" | "GiB" => 1 << 30,
        _ => return Err(wrong.into()),
    };
    number
        .checked_mul(unit)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .filter(|bytes| (MIN_MEMORY..=MAX_MEMORY).contains(bytes))
        .ok_or_else(|| "a plugin can have 64K to 4G of memory".into())
}

fn time(text: &str) -> Result<Duration, String> {
    let wrong = "a time is a number with ms, s or m, such as 500ms";
    let (number, unit) = number(text).ok_or(wrong)?;
    let unit = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        _ => return Err(wrong.into()),
    };
    number
        .checked_mul(unit)
        .map(Duration::from_millis)
        .filter(|time| (MIN_TIME..=MAX_TIME).contains(time))
        .ok_or_else(|| "a plugin can have 1ms to 60m".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        let read = |text| Limit::parse(text);
        assert_eq!(read("memory=64M"), Ok(Limit::Memory(64 << 20)));
        assert_eq!(read("memory=1G"), Ok(Limit::Memory(1 << 30)));
        assert_eq!(read("memory=65536"), Ok(Limit::Memory(65536)));
        assert_eq!(
            read("time=500ms"),
            Ok(Limit::Time(Duration::from_millis(500)))
        );
        assert_eq!(read("time=2m"), Ok(Limit::Time(Duration::from_secs(120))));
    }

    #[test]
    fn wrong_limits_are_explained() {
        let wrong = |text: &str| Limit::parse(text).unwrap_err();
        assert!(wrong("memory").contains("NAME=VALUE"));
        assert!(wrong("fuel=3").contains("there are memory and time"));
        for text in [
            "memory=",
            "memory=M",
            "memory=64X",
            "memory=-1",
            "memory=1.5G",
        ] {
            assert!(wrong(text).contains("such as 64M"), "{text}");
        }
        for text in ["memory=0", "memory=5G", "memory=99999999999G"] {
            assert!(wrong(text).contains("64K to 4G"), "{text}");
        }
        assert!(wrong("memory=18446744073709551616").contains("such as"));
        assert!(wrong("time=1").contains("such as 500ms"));
        assert!(wrong("time=0s").contains("1ms to 60m"));
        assert!(wrong("time=2000m").contains("1ms to 60m"));
    }

    #[test]
    fn the_last_one_counts() {
        let limits = Limit::apply(&[Limit::Memory(1 << 20), Limit::Memory(2 << 20)]);
        assert_eq!(limits.memory, 2 << 20);
        assert_eq!(limits.time, Limits::default().time);
    }
}
