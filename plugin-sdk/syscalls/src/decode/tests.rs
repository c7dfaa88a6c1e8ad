//! All descriptions, compared with what the kernel says, and with memory of any kind.

use std::collections::BTreeSet;
use std::vec::Vec;

use crate::abi;

use super::index;
use super::schema::{Arg, Call, Type, Width};

mod random;

/// Where the kernel and a description differ: call, argument, and why.
const DIFFERENT: &[(&str, &str, &str)] = &[
    ("clone", "clone_flags", SHOWN),
    ("clone", "newsp", SHOWN),
    ("clone", "parent_tidptr", SHOWN),
    ("ptrace", "pid", "a pid_t in ptrace(2)"),
    ("mmap", "fd", INT),
    (
        "mmap",
        "flags",
        "mmap(2) has an int, and no bit above is known",
    ),
    ("preadv", "fd", INT),
    ("preadv", "pos_l", OFFSET),
    ("preadv2", "fd", INT),
    ("preadv2", "pos_l", OFFSET),
    ("pwritev", "fd", INT),
    ("pwritev", "pos_l", OFFSET),
    ("pwritev2", "fd", INT),
    ("pwritev2", "pos_l", OFFSET),
    ("readlink", "bufsiz", "a size_t in readlink(2)"),
    ("readlinkat", "bufsiz", "a size_t in readlink(2)"),
    ("readv", "fd", INT),
    (
        "remap_file_pages",
        "flags",
        "remap_file_pages(2) has an int",
    ),
    ("sysfs", "option", "a number that strace shows as it is"),
    ("umask", "mask", "a mode_t of 16 bits in the kernel"),
    ("writev", "fd", INT),
];

/// Calls that show what no argument leads to.
const MORE: &[&str] = &[
    // The frame that it returns from, on the stack.
    "rt_sigreturn",
];

const SHOWN: &str = "it shows with its name, which is that of clone(2)";
const OFFSET: &str = "both halves of an offset: of 64 bits one register is enough";
const INT: &str = "a descriptor, of which the kernel takes the lower 32 bits";

/// Calls of x86_64, each with the type and the name of its arguments; nothing where
/// that is not known.
fn kernel() -> impl Iterator<Item = (&'static str, Option<Vec<(&'static str, &'static str)>>)> {
    let text = include_str!("../../data/syscall-args.tsv");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let mut columns = line.split('\t').skip(1);
        let name = columns.next().expect("a name");
        let columns: Vec<&str> = columns.collect();
        if columns == ["?"] {
            return (name, None);
        }
        let split = |column: &&'static str| column.split_once('|').expect("type and name");
        (name, Some(columns.iter().map(split).collect()))
    })
}

/// The bytes of a C type on x86_64 that count in a register.
fn c_width(ty: &str) -> Option<Width> {
    let ty = ty.strip_prefix("const ").unwrap_or(ty);
    if ty.contains('*') {
        return Some(Width::Long);
    }
    Some(match ty {
        "int" | "unsigned int" | "unsigned" | "u32" | "__u32" | "__s32" => Width::W32,
        "pid_t" | "uid_t" | "gid_t" | "clockid_t" | "timer_t" | "mqd_t" | "qid_t" => Width::W32,
        "key_t" | "key_serial_t" | "rwf_t" | "enum landlock_rule_type" => Width::W32,
        "umode_t" => Width::W16,
        "long" | "unsigned long" | "size_t" | "off_t" | "aio_context_t" => Width::Long,
        "cap_user_header_t" | "cap_user_data_t" => Width::Long,
        "loff_t" | "__u64" => Width::W64,
        _ => return None,
    })
}

/// The width of a type, if all values have the same.
fn width(ty: &Type) -> Option<Width> {
    match ty {
        Type::Scalar(width, _) => Some(*width),
        Type::Then(of, _) => width(of),
        Type::To(..)
        | Type::Sized(..)
        | Type::Array(..)
        | Type::Bytes(..)
        | Type::Text
        | Type::Path
        | Type::Strings
        | Type::Environ => Some(Width::Long),
        _ => None,
    }
}

/// Arguments in the order of registers.
fn by_register(call: &Call) -> Vec<&Arg> {
    let mut next = 0;
    let mut args: Vec<(u8, &Arg)> = Vec::new();
    for arg in call.args {
        let at = arg.register.unwrap_or(next);
        next = at + 1;
        args.push((at, arg));
    }
    args.sort_by_key(|(at, _)| *at);
    args.into_iter().map(|(_, arg)| arg).collect()
}

#[test]
fn arguments_are_those_of_the_kernel() {
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for (name, arguments) in kernel() {
        let (Some(call), Some(arguments)) = (index::find(name), arguments) else {
            continue;
        };
        if MORE.contains(&name) {
            continue;
        }
        let args = by_register(call);
        if args.len() != arguments.len() {
            wrong.push(std::format!(
                "{name}: {} arguments, not {}",
                args.len(),
                arguments.len()
            ));
            continue;
        }
        for (arg, (ty, of)) in args.into_iter().zip(arguments) {
            let expected = c_width(ty);
            assert!(expected.is_some(), "{name}: what is a {ty}?");
            let same_width = width(&arg.ty).is_none_or(|width| Some(width) == expected);
            if arg.name == of && same_width {
                continue;
            }
            if DIFFERENT
                .iter()
                .any(|(call, arg, _)| (*call, *arg) == (name, of))
            {
                used.insert((name, of));
                continue;
            }
            let width = width(&arg.ty);
            wrong.push(std::format!(
                "{name}: {} of {width:?}, not {ty} {of}",
                arg.name
            ));
        }
    }
    for (call, arg, why) in DIFFERENT {
        assert!(!why.is_empty());
        if index::find(call).is_some() && !used.contains(&(*call, *arg)) {
            wrong.push(std::format!("{call}: {arg} does not differ"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn described_calls_exist_once() {
    let all = index::all();
    for pair in all.windows(2) {
        assert_ne!(pair[0].name, pair[1].name, "described twice");
    }
    for call in all {
        let known = [abi::X86_64, abi::I386, abi::AARCH64]
            .into_iter()
            .any(|abi| crate::number(abi, call.name).is_some());
        assert!(known, "{} is no call", call.name);
        assert!(call.args.len() <= 6, "{}", call.name);
    }
}

#[test]
fn every_call_is_described() {
    let described: BTreeSet<&str> = index::all().iter().map(|call| call.name).collect();
    let calls = crate::names(abi::X86_64).map(|(_, name)| name);
    let missing: Vec<&str> = calls.filter(|name| !described.contains(name)).collect();
    assert!(missing.is_empty(), "not described: {missing:?}");
}

/// What was written at the entry is not written again, nor left out, at the exit.
#[test]
fn what_is_known_at_the_entry_does_not_depend_on_the_result() {
    let call = super::index::find("wait4").expect("a description");
    let known = |ret| {
        let captured = super::Captured::decode(&[]);
        let args = [7, 0x1000, 1, 0, 0, 0];
        let limits = super::Limits::default();
        super::decode(call, crate::abi::X86_64, args, ret, limits, &captured).known_at_entry
    };
    assert_eq!(known(Some(0)), known(None));
    assert_eq!(known(Some(7)), known(None));
}
