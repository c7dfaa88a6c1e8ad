//! Values that show as calls of C's macros and functions: `htons(80)`.

use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::decode::value::Value;

use super::number::push_decimal;
use super::{Hex, Names, Style, push_hex, quote};

/// What is behind the call.
enum Inside {
    /// Bytes, in the order of the network.
    Bytes(Vec<u8>),
    /// A number in decimal digits.
    Decimal(u64),
    /// One in hexadecimal digits.
    Hex(u64),
}

impl Style<'_> {
    pub(super) fn push_call(&self, out: &mut Vec<u8>, name: &str, args: &[Value]) {
        let inside = match self.names {
            Names::Abbrev => None,
            Names::Raw | Names::Verbose => inside(name, args),
        };
        let Some(inside) = inside else {
            return self.push_as_call(out, name, args);
        };
        if let [_, _, Value::Plain(to)] = args {
            // The call says itself where the address goes.
            out.extend_from_slice(to.trim_start_matches('&').as_bytes());
            out.push(b'=');
        }
        match inside {
            Inside::Bytes(bytes) => quote::push_quoted(out, &bytes, Hex::All),
            Inside::Decimal(number) => push_decimal(out, number.cast_signed()),
            Inside::Hex(0) => out.push(b'0'),
            Inside::Hex(number) => push_hex(out, number),
        }
        if self.names == Names::Verbose {
            out.extend_from_slice(b" /* ");
            let args = match args {
                [family, address, Value::Plain(_)] => &[family.clone(), address.clone()],
                args => args,
            };
            // Of these only the class of a priority has its number.
            let names = match name {
                "IOPRIO_PRIO_VALUE" => Names::Verbose,
                _ => Names::Abbrev,
            };
            Style { names, ..*self }.push_as_call(out, name, args);
            out.extend_from_slice(b" */");
        }
    }

    pub(super) fn push_as_call(&self, out: &mut Vec<u8>, name: &str, args: &[Value]) {
        out.extend_from_slice(name.as_bytes());
        out.push(b'(');
        self.push_list(out, args);
        out.push(b')');
    }
}

fn inside(name: &str, args: &[Value]) -> Option<Inside> {
    let number = |index: usize| args.get(index)?.number();
    let text = |index: usize| core::str::from_utf8(args.get(index)?.bytes()?).ok();
    Some(match name {
        "htons" => Inside::Bytes((number(0)? as u16).to_be_bytes().into()),
        "htonl" => Inside::Bytes((number(0)? as u32).to_be_bytes().into()),
        "inet_addr" => Inside::Bytes(text(0)?.parse::<Ipv4Addr>().ok()?.octets().into()),
        "inet_pton" => Inside::Bytes(text(1)?.parse::<Ipv6Addr>().ok()?.octets().into()),
        "KERNEL_VERSION" => Inside::Hex(number(0)? << 16 | number(1)? << 8 | number(2)?),
        "QCMD" => Inside::Decimal(number(0)? << 8 | number(1)?),
        "IOPRIO_PRIO_VALUE" => {
            let low = (number(0)? << 13 | number(1)?) as u32;
            Inside::Decimal(i64::from(low.cast_signed()).cast_unsigned())
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn shown(names: Names, name: &'static str, args: &[Value]) -> String {
        let mut out = Vec::new();
        let style = Style {
            names,
            ..Style::default()
        };
        style.push(&mut out, &Value::Call(name, args.to_vec()));
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn calls_are_what_they_make() {
        let version = [6, 1, 76].map(Value::Unsigned);
        let port = [Value::Unsigned(80)];
        for (name, args, raw, verbose) in [
            (
                "htons",
                &port[..],
                r#""\x00\x50""#,
                r#""\x00\x50" /* htons(80) */"#,
            ),
            (
                "KERNEL_VERSION",
                &version,
                "0x6014c",
                "0x6014c /* KERNEL_VERSION(6, 1, 76) */",
            ),
        ] {
            assert_eq!(shown(Names::Raw, name, args), raw);
            assert_eq!(shown(Names::Verbose, name, args), verbose);
        }
        assert_eq!(shown(Names::Abbrev, "htons", &port), "htons(80)");
    }
}
