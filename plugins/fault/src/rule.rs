//! What is done to which calls.

use pai_plugin::select::{self, Calls};
use pai_plugin::{Error, Result, names};
use pai_syscalls::class;

use crate::when::When;

/// ENOSYS, what `fault=` without `error=` means.
const ENOSYS: i64 = 38;
/// The longest delay, nanoseconds: what the host allows.
const LONGEST: f64 = 4_294_967_295e9;
/// Real-time signals end here.
const LAST_SIGNAL: u32 = 64;

/// One expression, or what the options say.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) calls: Calls,
    pub(crate) when: When,
    /// Each call of each task is counted by itself; else all are together.
    pub(crate) for_each: bool,
    pub(crate) effects: Effects,
}

/// What is done to a call.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Effects {
    /// It is not made, and returns this.
    pub(crate) result: Option<i64>,
    /// And this is executed in its place.
    pub(crate) stand_in: Option<String>,
    pub(crate) signal: Option<u32>,
    /// Nanoseconds.
    pub(crate) delay_enter: Option<u64>,
    pub(crate) delay_exit: Option<u64>,
    pub(crate) poke_enter: Vec<Poke>,
    pub(crate) poke_exit: Vec<Poke>,
}

/// Bytes for the memory that an argument points to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Poke {
    /// The first is 0.
    pub(crate) argument: usize,
    pub(crate) bytes: Vec<u8>,
}

impl Effects {
    pub(crate) fn of_result(result: i64) -> Self {
        Self {
            result: Some(result),
            ..Self::default()
        }
    }

    /// Whether something is to be done when the call returns.
    pub(crate) fn at_exit(&self) -> bool {
        self.delay_exit.is_some() || !self.poke_exit.is_empty()
    }

    fn is_nothing(&self) -> bool {
        *self
            == Self {
                stand_in: self.stand_in.clone(),
                ..Self::default()
            }
    }
}

impl Rule {
    /// `SET[:error=E|:retval=V][:signal=S][:syscall=NAME][:delay_enter=T]
    /// [:delay_exit=T][:poke_enter=@argN=HEX,...][:poke_exit=...][:when=EXPR]`, as
    /// strace(1) has it under "Tampering". `kind` is `inject` or `fault`: a fault has
    /// only errors, and without one it is ENOSYS.
    pub(crate) fn parse(kind: &str, text: &str) -> Result<Self> {
        let wrong = |error: Error| Error::new(format!("{kind}={text}: {error}"));
        let mut parts = text.split(':');
        let set = parts.next().unwrap_or_default();
        let mut rule = Self {
            calls: Calls::parse(set).map_err(wrong)?,
            when: When::ALWAYS,
            for_each: true,
            effects: Effects::default(),
        };
        for part in parts.filter(|part| !part.is_empty()) {
            rule.add(kind == "fault", part).map_err(wrong)?;
        }
        if kind == "fault" {
            rule.effects.result.get_or_insert(-ENOSYS);
        }
        if rule.effects.is_nothing() {
            return Err(wrong(Error::new(
                "nothing is done to the calls: error, retval, signal, delay_enter, \
                 delay_exit, poke_enter or poke_exit is needed",
            )));
        }
        Ok(rule)
    }

    fn add(&mut self, only_errors: bool, part: &str) -> Result<()> {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let effects = &mut self.effects;
        match name {
            "error" => once(&mut effects.result, "error or retval", -errno(value)?),
            "syscall" => once(&mut effects.stand_in, name, stand_in(value)?),
            "when" => {
                self.when = When::parse(value)?;
                Ok(())
            }
            _ if only_errors => Err(Error::new(format!(
                "{part:?} is none of error, syscall, when"
            ))),
            "retval" => once(&mut effects.result, "error or retval", retval(value)?),
            "signal" => once(&mut effects.signal, name, signal(value)?),
            "delay_enter" => once(&mut effects.delay_enter, name, delay(value)?),
            "delay_exit" => once(&mut effects.delay_exit, name, delay(value)?),
            "poke_enter" => pokes(&mut effects.poke_enter, name, value),
            "poke_exit" => pokes(&mut effects.poke_exit, name, value),
            _ => Err(Error::new(format!(
                "{part:?} is none of error, retval, signal, syscall, delay_enter, \
                 delay_exit, poke_enter, poke_exit, when"
            ))),
        }
    }
}

fn once<T>(place: &mut Option<T>, name: &str, value: T) -> Result<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::new(format!("{name} is there twice"))),
    }
}

/// By name or number.
pub(crate) fn errno(text: &str) -> Result<i64> {
    let upper = text.to_ascii_uppercase();
    let named = || (1..4096).find(|number| names::errno(*number).as_deref() == Some(&upper));
    let number = text.parse().ok().or_else(named);
    let number = number.filter(|number| (1..4096).contains(number));
    let number = number.ok_or_else(|| Error::new(format!("{text:?} is no error")))?;
    Ok(number.into())
}

/// What a register may hold: decimal, `0x` hexadecimal or `0` octal.
fn retval(text: &str) -> Result<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let parsed = match (digits.strip_prefix("0x"), digits.strip_prefix('0')) {
        _ if digits.starts_with('+') => None,
        (Some(digits), _) => u64::from_str_radix(digits, 16).ok(),
        (None, Some(digits)) if !digits.is_empty() => u64::from_str_radix(digits, 8).ok(),
        _ => digits.parse().ok(),
    };
    let value = parsed.ok_or_else(|| Error::new(format!("retval {text:?} is no number")))?;
    let value = value.cast_signed();
    Ok(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}

fn signal(text: &str) -> Result<u32> {
    let number = select::signal(text)?;
    match number {
        1..=LAST_SIGNAL => Ok(number),
        _ => Err(Error::new(format!("{number} is no signal"))),
    }
}

/// A call that only tells who the task is.
fn stand_in(name: &str) -> Result<String> {
    let pure = class("pure").unwrap_or_default();
    if pure.contains(&name) {
        return Ok(name.to_owned());
    }
    let text = format!("syscall {name:?} is none of %pure: {}", pure.join(", "));
    Err(Error::new(text))
}

/// Nanoseconds: a number with `s`, `ms`, `us`, which is meant without any, or `ns`.
fn delay(text: &str) -> Result<u64> {
    let wrong = || {
        let text = format!("{text:?} is no time: a number, with ns, us, ms or s behind it");
        Error::new(text)
    };
    let (number, unit) = select::time(text);
    // Not "inf" and "nan".
    let plain = number
        .bytes()
        .all(|c| matches!(c, b'0'..=b'9' | b'.' | b'e' | b'+' | b'-'));
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let nanos = number * f64::from(unit);
    if !plain || !(0.0..=LONGEST).contains(&nanos) {
        return Err(wrong());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is in range"
    )]
    Ok(nanos as u64)
}

/// `@arg1=0A0B,@arg2=0C`
fn pokes(place: &mut Vec<Poke>, name: &str, text: &str) -> Result<()> {
    if !place.is_empty() {
        return Err(Error::new(format!("{name} is there twice")));
    }
    for item in text.split(',') {
        let poke = poke(item).ok_or_else(|| {
            let text = format!("{name} {item:?} is not @argN=HEX, with N from 1 to 7");
            Error::new(text)
        })?;
        if place.iter().any(|other| other.argument == poke.argument) {
            let text = format!("{name} has @arg{} twice", poke.argument + 1);
            return Err(Error::new(text));
        }
        place.push(poke);
    }
    Ok(())
}

fn poke(item: &str) -> Option<Poke> {
    let (number, digits) = item.strip_prefix("@arg")?.split_once('=')?;
    let argument = match number.as_bytes() {
        [digit @ b'1'..=b'7'] => usize::from(digit - b'1'),
        _ => return None,
    };
    let digits = digits.strip_prefix("0x").unwrap_or(digits);
    if digits.is_empty() || digits.len() % 2 != 0 {
        return None;
    }
    let byte = |pair: &[u8]| {
        let nibble = |digit: u8| char::from(digit).to_digit(16);
        u8::try_from(nibble(pair[0])? << 4 | nibble(pair[1])?).ok()
    };
    let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(byte).collect();
    bytes.map(|bytes| Poke { argument, bytes })
}

#[cfg(test)]
mod tests;
