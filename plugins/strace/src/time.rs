//! Times in front of lines and behind results, as strace writes them.

use pai_plugin::{ErrorKind, Result, clock, options};

/// From the times of events to those of the day.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// What to add for nanoseconds since 1970.
    pub(crate) realtime: i64,
    /// How far the time zone is ahead, seconds.
    pub(crate) ahead: i64,
}

impl Clock {
    /// As it is now.
    pub(crate) fn now() -> Self {
        let realtime = clock::realtime();
        Self {
            realtime,
            ahead: clock::utc_offset(realtime / NANOS.cast_signed()).into(),
        }
    }
}

const NANOS: u64 = 1_000_000_000;

/// How exact a time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    Seconds,
    Millis,
    Micros,
    Nanos,
}

impl Precision {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "s" => Self::Seconds,
            "ms" => Self::Millis,
            "us" => Self::Micros,
            "ns" => Self::Nanos,
            _ => return None,
        })
    }

    /// What is behind the point, with it.
    fn push_fraction(self, out: &mut Vec<u8>, nanos: u64) {
        let (digits, unit) = match self {
            Self::Seconds => return,
            Self::Millis => (3, 1_000_000),
            Self::Micros => (6, 1_000),
            Self::Nanos => (9, 1),
        };
        let part = nanos % NANOS / unit;
        out.extend_from_slice(format!(".{part:0digits$}").as_bytes());
    }
}

/// How a time of the day is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `12:34:56`
    Day,
    /// Seconds since 1970.
    Epoch,
}

/// Which times are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// When it was (`-t`).
    pub(crate) absolute: Option<(Format, Precision)>,
    /// How long that is after the line before (`-r`).
    pub(crate) relative: Option<Precision>,
    /// How long the call took (`-T`).
    pub(crate) took: Option<Precision>,
}

impl Times {
    /// From the options.
    ///
    /// # Errors
    /// What is no format or precision, by option.
    pub(crate) fn read() -> Result<Self> {
        let flag = |name| options::flag(name).then_some(Precision::Micros);
        let absolute = match (
            options::all("absolute-timestamps").len(),
            options::get("timestamp-format"),
        ) {
            (0, Some(text)) => absolute(&text)?,
            (_, Some(text)) => {
                let text = format!("-t and --timestamp-format={text}: one of them");
                return Err(ErrorKind::Invalid(text).into());
            }
            (0, None) => None,
            (1, None) => Some((Format::Day, Precision::Seconds)),
            (2, None) => Some((Format::Day, Precision::Micros)),
            (_, None) => Some((Format::Epoch, Precision::Micros)),
        };
        Ok(Self {
            absolute,
            relative: precision("relative-precision")?.or(flag("relative-timestamps")),
            took: precision("syscall-precision")?.or(flag("syscall-times")),
        })
    }

    /// When something was, if that is wanted.
    pub(crate) fn push_absolute(self, out: &mut Vec<u8>, at: u64, clock: Clock) -> bool {
        let Some((format, precision)) = self.absolute else {
            return false;
        };
        let since = at.cast_signed().saturating_add(clock.realtime);
        let since = since.max(0).cast_unsigned();
        let seconds = since / NANOS;
        let of_day = (seconds.cast_signed() + clock.ahead).rem_euclid(86_400);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        let text = match format {
            Format::Day => format!("{hour:02}:{minute:02}:{second:02}"),
            Format::Epoch => seconds.to_string(),
        };
        out.extend_from_slice(text.as_bytes());
        precision.push_fraction(out, since);
        true
    }

    /// The head of a line that is so long after the one before, with a space behind it.
    pub(crate) fn push(self, out: &mut Vec<u8>, at: u64, past: u64, clock: Clock) {
        let absolute = self.push_absolute(out, at, clock);
        if absolute {
            out.push(b' ');
        }
        let Some(precision) = self.relative else {
            return;
        };
        if absolute {
            out.extend_from_slice(b"(+");
        }
        out.extend_from_slice(format!("{:6}", past / NANOS).as_bytes());
        precision.push_fraction(out, past);
        out.extend_from_slice(if absolute { b") " } else { b" " });
    }

    /// ` <0.000012>` behind a result, if that is wanted.
    pub(crate) fn push_took(self, out: &mut Vec<u8>, took: u64) {
        if let Some(precision) = self.took {
            out.extend_from_slice(format!(" <{}", took / NANOS).as_bytes());
            precision.push_fraction(out, took);
            out.push(b'>');
        }
    }
}

/// `[format:]time,[precision:]us`, in any order: of several the last counts.
fn absolute(text: &str) -> Result<Option<(Format, Precision)>> {
    let (mut format, mut precision) = (Some(Format::Day), Precision::Seconds);
    for item in text.split(',').filter(|_| !text.is_empty()) {
        let named = item.split_once(':');
        let (of_format, of_precision) = match named {
            Some(("format", name)) => (Some(name), None),
            Some(("precision", name)) => (None, Some(name)),
            Some(_) => (None, None),
            None => (Some(item), Some(item)),
        };
        let format_of = |name| match name {
            "none" => Some(None),
            "time" => Some(Some(Format::Day)),
            "unix" => Some(Some(Format::Epoch)),
            _ => None,
        };
        if let Some(found) = of_format.and_then(format_of) {
            format = found;
        } else if let Some(found) = of_precision.and_then(Precision::parse) {
            precision = found;
        } else {
            let text = format!(
                "timestamps {text:?}: {item:?} is neither a format (none, time, unix) \
                 nor a precision (s, ms, us, ns)"
            );
            return Err(ErrorKind::Invalid(text).into());
        }
    }
    Ok(format.map(|format| (format, precision)))
}

fn precision(option: &str) -> Result<Option<Precision>> {
    let Some(text) = options::get(option) else {
        return Ok(None);
    };
    let precision = Precision::parse(&text);
    let known = precision.ok_or_else(|| {
        ErrorKind::Invalid(format!("--{option}: {text:?} is not s, ms, us or ns"))
    })?;
    Ok(Some(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(times: Times, at: u64) -> String {
        let clock = Clock {
            realtime: 0,
            ahead: 3600,
        };
        let mut out = Vec::new();
        times.push(&mut out, at, 1_234_567, clock);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn formats_and_precisions_in_any_order() {
        let day = Some((Format::Day, Precision::Seconds));
        assert_eq!(absolute("").unwrap(), day);
        assert_eq!(absolute("ms,s").unwrap(), day);
        let exact = Some((Format::Epoch, Precision::Nanos));
        assert_eq!(absolute("ns,unix").unwrap(), exact);
        assert_eq!(absolute("format:unix,precision:ns").unwrap(), exact);
        assert_eq!(absolute("none,us").unwrap(), None);
        for wrong in ["foo", "format:ns", "precision:unix", "time,", "x:ns"] {
            let error = absolute(wrong).unwrap_err().to_string();
            assert!(error.contains("precision (s, ms"), "{error}");
        }
    }

    #[test]
    fn heads_of_lines() {
        let relative = Some(Precision::Millis);
        for (absolute, relative, text) in [
            (None, None, ""),
            (None, relative, "     0.001 "),
            (
                Some((Format::Day, Precision::Seconds)),
                relative,
                "01:00:02 (+     0.001) ",
            ),
            (
                Some((Format::Epoch, Precision::Nanos)),
                None,
                "2.000000007 ",
            ),
        ] {
            let times = Times {
                absolute,
                relative,
                took: None,
            };
            assert_eq!(head(times, 2_000_000_007), text);
        }
    }
}
