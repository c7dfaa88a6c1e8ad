use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use std::format;

use serde_json::json;

use super::*;
use crate::abi;
use crate::decode::schema::sets;
use crate::decode::{Captured, Field, Limits, captured, decode, describe};

fn text(value: &Value) -> String {
    let mut out = String::new();
    push(&mut out, value);
    out
}

#[track_caller]
fn is(value: &Value, expected: &serde_json::Value) {
    let text = text(value);
    let parsed: serde_json::Value = serde_json::from_str(&text).expect(&text);
    assert_eq!(parsed, *expected, "{value:?}");
}

sets! {
    KIND "K_???" { K_NONE = 0, K_ONE = 1 }
    LAST "L_???" { L_ZERO = 0, L_ONE = 0x100 }
    FLAGS "F_???" first(3 => KIND) last(0xf00 => LAST) { F_PAIR = 0x30, F_ODD = 0x10, F_EVEN = 0x20 }
    PLAIN "P_???" { P_NONE = 0, P_ONE = 1 }
}

fn bytes(data: &[u8], more: bool, look: Look) -> Value {
    Value::Bytes(Bytes {
        data: data.to_vec(),
        more,
        whole: false,
        look,
    })
}

fn array(items: &[u64], more: Option<u64>, missing: bool) -> Items {
    Items {
        items: items.iter().copied().map(Value::Unsigned).collect(),
        more,
        missing,
    }
}

fn fields(of: &[(&'static str, u64)], more: bool) -> Fields {
    let field = |&(name, value): &(&'static str, u64)| Field {
        name,
        value: Value::Unsigned(value),
        verbose: true,
    };
    Fields {
        fields: of.iter().map(field).collect(),
        more,
    }
}

#[test]
fn numbers_are_exact() {
    for (value, expected) in [
        (Value::Signed(-3), json!(-3)),
        (Value::Signed(-(1 << 53)), json!(-9_007_199_254_740_992_i64)),
        (Value::Signed(-(1 << 53) - 1), json!("-0x20000000000001")),
        (Value::Signed(i64::MIN), json!("-0x8000000000000000")),
        (Value::Signed(i64::MAX), json!("0x7fffffffffffffff")),
        (Value::Unsigned(1 << 53), json!(9_007_199_254_740_992_u64)),
        (Value::Hex((1 << 53) + 1), json!("0x20000000000001")),
        (Value::Unsigned(u64::MAX), json!("0xffffffffffffffff")),
        (Value::Octal(0o644), json!(0o644)),
        (Value::Address(0), json!("0x0")),
        (Value::Address(0x7ffe_0000_0010), json!("0x7ffe00000010")),
        (Value::Fd(-100), json!(-100)),
        (Value::Pid(7), json!(7)),
        (Value::Uid(u32::MAX), json!(u32::MAX)),
    ] {
        is(&value, &expected);
    }
}

#[test]
fn what_has_a_name_has_both() {
    for (value, expected) in [
        (
            Value::Mode(0o100_644),
            json!({"value": 33188, "type": "S_IFREG"}),
        ),
        (Value::Mode(0o644), json!(0o644)),
        (Value::Device(0x801), json!({"major": 8, "minor": 1})),
        (
            Value::Device(u64::MAX),
            json!({"major": u32::MAX, "minor": u32::MAX}),
        ),
        (Value::Signal(2), json!({"value": 2, "name": "SIGINT"})),
        (Value::Signal(0), json!(0)),
        (Value::Signal(99), json!(99)),
        (
            Value::Signals(6),
            json!({"value": 6, "signals": ["SIGINT", "SIGQUIT"]}),
        ),
        (
            Value::Signals(1 << 63),
            json!({"value": "0x8000000000000000", "signals": ["SIGRT_32"]}),
        ),
        (
            Value::Limit(u64::MAX),
            json!({"value": "0xffffffffffffffff", "name": "RLIM64_INFINITY"}),
        ),
        (Value::Limit(8192), json!(8192)),
        (Value::One(1, &KIND), json!({"value": 1, "name": "K_ONE"})),
        (Value::One(7, &KIND), json!(7)),
        (
            Value::Named(9, Cow::Borrowed("TCGETS")),
            json!({"value": 9, "name": "TCGETS"}),
        ),
    ] {
        is(&value, &expected);
    }
}

#[test]
fn flags_are_taken_apart() {
    for (bits, set, expected) in [
        (0, &FLAGS, json!({"value": 0, "flags": ["K_NONE"]})),
        (
            0x131,
            &FLAGS,
            json!({"value": 0x131, "flags": ["K_ONE", "F_PAIR", "L_ONE"]}),
        ),
        (
            0x62,
            &FLAGS,
            json!({"value": 0x62, "flags": ["F_EVEN"], "rest": 0x42}),
        ),
        (
            0x200,
            &FLAGS,
            json!({"value": 0x200, "flags": ["K_NONE"], "rest": 0x200}),
        ),
        (0, &PLAIN, json!({"value": 0, "flags": ["P_NONE"]})),
        (1, &PLAIN, json!({"value": 1, "flags": ["P_ONE"]})),
        (
            u64::MAX,
            &PLAIN,
            json!({"value": "0xffffffffffffffff", "flags": ["P_ONE"], "rest": "0xfffffffffffffffe"}),
        ),
    ] {
        is(&Value::Flags(bits, set), &expected);
    }
}

#[test]
fn ends_of_processes_are_taken_apart() {
    for (status, expected) in [
        (0x100, json!({"value": 0x100, "exited": 1})),
        (
            0x8b,
            json!({"value": 0x8b, "killed": "SIGSEGV", "core": true}),
        ),
        (9, json!({"value": 9, "killed": "SIGKILL", "core": false})),
        (0x137f, json!({"value": 0x137f, "stopped": "SIGSTOP"})),
        (0x857f, json!({"value": 0x857f, "stopped": "SIGTRAP"})),
        (0xffff, json!({"value": 0xffff, "continued": true})),
    ] {
        is(&Value::WaitStatus(status), &expected);
    }
}

#[test]
fn bytes_are_text_or_digits() {
    for (data, more, look, expected) in [
        (
            &b"a\"\\\n\0"[..],
            false,
            Look::Text,
            json!({"text": "a\"\\\n\0"}),
        ),
        (b"", false, Look::Text, json!({"text": ""})),
        (
            b"abc",
            true,
            Look::Text,
            json!({"text": "abc", "more": true}),
        ),
        (b"\xff\x01", false, Look::Text, json!({"hex": "ff01"})),
        (b"ab", false, Look::Hex, json!({"hex": "6162"})),
        (b"ab", false, Look::Colons, json!({"hex": "6162"})),
        ("é".as_bytes(), false, Look::Text, json!({"text": "é"})),
        (
            b"a\xe2\x82",
            true,
            Look::Text,
            json!({"text": "a", "rest": "e282", "more": true}),
        ),
        (b"a\xe2\x82", false, Look::Text, json!({"hex": "61e282"})),
        (
            b"\xffa\xe2",
            true,
            Look::Text,
            json!({"hex": "ff61e2", "more": true}),
        ),
    ] {
        is(&bytes(data, more, look), &expected);
    }
}

#[test]
fn what_holds_others() {
    let addr = 0x1000;
    let boxed = |number| Box::new(Value::Unsigned(number));
    for (value, expected) in [
        (
            Value::Struct(fields(&[("a", 1), ("b", 2)], false)),
            json!({"a": 1, "b": 2}),
        ),
        (
            Value::Struct(fields(&[("a", 1)], true)),
            json!({"a": 1, "more": true}),
        ),
        (Value::Struct(fields(&[], true)), json!({"more": true})),
        (
            Value::Struct(fields(&[("", 1), ("a", 2), ("a", 3)], false)),
            json!({"#0": 1, "a": 2, "#2": 3}),
        ),
        (
            Value::Table(fields(&[("VINTR", 3)], false)),
            json!({"VINTR": 3}),
        ),
        (Value::Array(array(&[1, 2], None, false)), json!([1, 2])),
        (
            Value::Array(array(&[1], Some(addr), false)),
            json!({"items": [1], "more": true}),
        ),
        (
            Value::Array(array(&[1], Some(addr), true)),
            json!({"items": [1], "more": true, "unreadable": "0x1000"}),
        ),
        (
            Value::To {
                addr,
                value: boxed(1),
            },
            json!(1),
        ),
        (
            Value::Changed {
                addr,
                before: boxed(0),
                after: boxed(1),
            },
            json!({"before": 0, "after": 1}),
        ),
        (
            Value::Call("htons", Vec::from([Value::Unsigned(80)])),
            json!(80),
        ),
        (
            Value::Call("f", Vec::from([Value::Unsigned(1), Value::Fd(2)])),
            json!({"call": "f", "args": [1, 2]}),
        ),
        (Value::Plain(Cow::Borrowed("\u{1}\r\t")), json!("\u{1}\r\t")),
        (
            Value::Comment(boxed(1), String::from("one")),
            json!({"value": 1, "comment": "one"}),
        ),
        (Value::Told(boxed(1), String::from("one")), json!(1)),
        (Value::Titled("left", boxed(1)), json!({"left": 1})),
        (Value::Descriptors(Vec::from([3, 5])), json!([3, 5])),
        (Value::Interface(2), json!(2)),
        (Value::List(fields(&[("in", 1)], false)), json!({"in": 1})),
    ] {
        is(&value, &expected);
    }
}

#[test]
fn addresses_of_ip_are_texts() {
    let address = bytes(b"127.0.0.1", false, Look::Text);
    let address = Value::Call("inet_addr", Vec::from([address]));
    is(&address, &json!("127.0.0.1"));
    let family = Value::One(10, &KIND);
    let target = Value::Plain(Cow::Borrowed("&sin6_addr"));
    let args = Vec::from([family, bytes(b"::1", false, Look::Text), target]);
    let field = Field {
        name: "",
        value: Value::Call("inet_pton", args),
        verbose: false,
    };
    let structure = Fields {
        fields: Vec::from([field]),
        more: false,
    };
    is(&Value::Struct(structure), &json!({"sin6_addr": "::1"}));
}

#[test]
fn what_is_only_counted() {
    let counted = |items, count, missing| Value::Counted {
        addr: 0x1000,
        items: array(items, None, missing),
        count,
        what: "vars",
    };
    is(&counted(&[], 5, false), &json!({"count": 5}));
    is(&counted(&[], 5, true), &json!({"count": 5, "more": true}));
    is(&counted(&[], 0, false), &json!([]));
    is(&counted(&[7, 8], 2, false), &json!([7, 8]));
}

/// A call on x86_64 with memory at its entry and at its exit.
fn decoded(
    name: &str,
    registers: [u64; 6],
    ret: Option<i64>,
    pieces: &[(captured::When, u64, &[u8])],
) -> Decoded {
    let abi = abi::X86_64;
    let call = describe(abi, crate::number(abi, name).expect(name)).expect(name);
    let mut encoded = Vec::new();
    for (when, addr, bytes) in pieces {
        captured::encode(&mut encoded, *when, *addr, bytes);
    }
    let known = Captured::decode(&encoded);
    decode(call, abi, registers, ret, Limits::default(), &known)
}

#[test]
fn a_call_is_an_object() {
    let name: (_, _, &[u8]) = (captured::When::Enter, 0x1000, b"/etc/passwd\0");
    let registers = [0xffff_ff9c, 0x1000, 0o2_000_000, 0, 0, 0];
    let call = decoded("openat", registers, Some(3), &[name]);
    let mut out = String::new();
    push_decoded(&mut out, &call);
    let flags = json!({"value": 0o2_000_000, "flags": ["O_RDONLY", "O_CLOEXEC"]});
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&out).expect(&out),
        json!({
            "syscall": "openat",
            "args": [
                {"name": "dfd", "raw": "0xffffff9c", "value": -100},
                {"name": "filename", "raw": "0x1000", "value": {"text": "/etc/passwd"}},
                {"name": "flags", "raw": "0x80000", "value": flags},
            ],
            "result": 3,
        })
    );
    let failed = decoded("openat", registers, Some(-2), &[name]);
    let mut out = String::new();
    push_decoded(&mut out, &failed);
    assert!(!out.contains("result"), "{out}");
}

/// All bytes, in any company, make JSON that says what they were.
#[test]
fn any_bytes_are_valid_json() {
    // Marsaglia, "Xorshift RNGs".
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..20_000_u64 {
        let len = (next() % 12) as usize;
        // Half of them start as UTF-8 does.
        let mut data: Vec<u8> = "é€𝄞\"\\\u{7}".bytes().cycle().skip(len).take(len).collect();
        for byte in &mut data {
            if round % 2 == 0 || next() % 8 == 0 {
                *byte = (next() & 0xff) as u8;
            }
        }
        let more = next() % 2 == 0;
        let text = text(&bytes(&data, more, Look::Text));
        let value: serde_json::Value = serde_json::from_str(&text).expect(&text);
        let mut back = match (&value["text"], &value["hex"]) {
            (serde_json::Value::String(text), _) => text.clone().into_bytes(),
            (_, serde_json::Value::String(digits)) => undigit(digits),
            _ => panic!("{text}"),
        };
        if let Some(rest) = value["rest"].as_str() {
            back.extend(undigit(rest));
        }
        assert_eq!(back, data, "{text}");
        assert_eq!(value["more"] == true, more);

        // And as whatever a description may make of memory.
        let registers = core::array::from_fn(|_| next() % 0x3000);
        let memory: Vec<u8> = (0..0x2000).map(|_| (next() & 0xff) as u8).collect();
        if round % 400 == 0 {
            any_call(registers, (next() % 40).cast_signed() - 4, &memory);
        }
    }
}

fn undigit(digits: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect(digits);
    (0..digits.len()).step_by(2).map(pair).collect()
}

fn any_call(registers: [u64; 6], ret: i64, memory: &[u8]) {
    use captured::When::{Enter, Exit};
    for (_, name) in crate::names(abi::X86_64) {
        if describe(abi::X86_64, crate::number(abi::X86_64, name).expect(name)).is_none() {
            continue;
        }
        let pieces: [(_, _, &[u8]); 2] = [(Enter, 0x1000, memory), (Exit, 0x1000, memory)];
        let call = decoded(name, registers, Some(ret), &pieces);
        let mut out = String::new();
        push_decoded(&mut out, &call);
        let value: serde_json::Value =
            serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
        assert_eq!(value["syscall"], call.call.name);
        let args = value["args"].as_array().expect("an array");
        assert_eq!(args.len(), call.args.len());
        assert!(args.iter().zip(&call.args).all(|(json, arg)| {
            json["name"] == arg.name && json["raw"] == format!("{:#x}", arg.raw)
        }));
    }
}
