//! Objects that were made to do harm: none of them may. Part of case 45 of
//! docs/TESTING.md.

use std::fs;

use pai_engine::{Engine, Error};
use pai_ptrace::Pid;
use pai_symbols::{DebugSearch, Object, Pattern, Source};
use pai_tests::fixtures;
use pai_tests::probe::at_tells;
use pai_tests::target::write_program;

/// Numbers that look like chance and are the same each time (xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).expect("small")
    }
}

/// Asks everything there is to ask.
fn ask(bytes: &[u8], numbers: &mut Numbers) {
    let search = DebugSearch {
        directories: Vec::new(),
        ..DebugSearch::default()
    };
    let Ok(object) = Object::open(Source::from_bytes("it", bytes), search) else {
        return;
    };
    assert!(object.by_name(b"main").is_none_or(|s| s.name == b"main"));
    assert!(object.by_demangled("core::fmt::write").is_none());
    let pattern = Pattern::new(b"*m?[a-z]*").expect("short");
    drop(object.search(&pattern, true));
    let functions: Vec<u64> = object.functions().iter().map(|f| f.value).collect();
    let symbols: Vec<u64> = object.symbols().map(|s| s.value).collect();
    let slots: Vec<u64> = object.relocations().map(|r| r.slot).collect();
    assert!(
        object
            .slots_of(b"printf")
            .all(|slot| slot.name == b"printf")
    );
    let mut addresses = vec![0, 1, u64::MAX, object.entry()];
    addresses.extend(object.bounds().map(|bounds| bounds.end));
    for list in [&functions, &symbols, &slots] {
        for _ in 0..20 {
            if !list.is_empty() {
                addresses.push(list[numbers.below(list.len())].wrapping_add(numbers.next() % 64));
            }
        }
    }
    let mut stack = Numbers(numbers.next() | 1);
    for addr in addresses {
        drop(object.at(addr));
        drop(object.locate(addr));
        object.is_code(addr);
        object.is_stub(addr);
        let mut registers = pai_symbols::Registers::with(addr, 0x7fff_0000, Some(0x7fff_0100));
        for _ in 0..8 {
            let read = &mut |_| Some(stack.next());
            match object.unwind(addr, 0, &registers, read) {
                Some((caller, _)) => registers = caller,
                None => break,
            }
        }
    }
    assert!(object.build_id().is_none_or(|id| !id.is_empty()));
    assert!(object.soname().is_none_or(|name| !name.is_empty()));
    for damage in object.damage() {
        assert!(damage.to_string().starts_with("it: "), "{damage}");
    }
}

fn u64_at(bytes: &[u8], at: usize) -> usize {
    let bytes = bytes[at..at + 8].try_into().expect("eight bytes");
    usize::try_from(u64::from_le_bytes(bytes)).expect("small")
}

/// Where the sections are, and the tables of headers: bytes that matter.
fn parts(bytes: &[u8]) -> Vec<(usize, usize)> {
    if bytes[4] != 2 {
        // No 64-bit file: all of it.
        return vec![(0, 52), (0, bytes.len())];
    }
    let at = u64_at(bytes, 40);
    let count = usize::from(u16::from_le_bytes([bytes[60], bytes[61]]));
    let mut parts = vec![(0, 64 + 56 * 14), (at, count * 64)];
    for header in 0..count {
        let header = at + header * 64;
        let kind = u32::from_le_bytes(bytes[header + 4..header + 8].try_into().expect("four"));
        // SHT_NOBITS
        if kind != 8 {
            parts.push((u64_at(bytes, header + 24), u64_at(bytes, header + 32)));
        }
    }
    parts.retain(|(at, len)| *len > 0 && at + len <= bytes.len());
    parts
}

/// Numbers that are wrong in an interesting way.
const VALUES: [u64; 10] = [
    0,
    1,
    0x7f,
    0x80,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

fn damage(bytes: &mut [u8], parts: &[(usize, usize)], numbers: &mut Numbers) {
    for _ in 0..=numbers.below(6) {
        let (at, len) = parts[numbers.below(parts.len())];
        // The beginning of a table has what the rest depends on.
        let len = if numbers.next().is_multiple_of(2) {
            len.min(64)
        } else {
            len
        };
        let at = at + numbers.below(len);
        let width = [1, 2, 4, 8][numbers.below(4)].min(bytes.len() - at);
        let value = match numbers.next() % 3 {
            0 => numbers.next(),
            _ => VALUES[numbers.below(VALUES.len())],
        };
        bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
    }
}

#[track_caller]
fn survives(path: &str, rounds: usize) {
    let whole = fs::read(path).expect("it is there");
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    ask(&whole, &mut numbers);
    let parts = parts(&whole);
    for _ in 0..rounds {
        let mut bytes = whole.clone();
        damage(&mut bytes, &parts, &mut numbers);
        ask(&bytes, &mut numbers);
    }
    for _ in 0..rounds / 4 {
        let mut bytes = whole[..numbers.below(whole.len())].to_vec();
        ask(&bytes, &mut numbers);
        bytes.resize(whole.len(), 0);
        ask(&bytes, &mut numbers);
    }
    for len in 0..256 {
        ask(&whole[..len.min(whole.len())], &mut numbers);
    }
}

#[test]
fn c70_damaged_programs() {
    survives(fixtures::SYM_PIE, 2000);
    survives(fixtures::SYM_STRIPPED, 1000);
    survives(fixtures::HELLO_32, 500);
}

#[test]
fn c70_damaged_debug_information() {
    survives(fixtures::SYM_INLINED, 2000);
    survives(fixtures::SYM_INLINED_PACKED, 1000);
}

#[test]
fn c70_damaged_programs_of_others() {
    survives("/bin/true", 1000);
    survives(fixtures::SYM_STATIC, 100);
}

/// Asks the engine everything about a process with one module that may be
/// damaged.
fn ask_engine(engine: &mut Engine, pid: Pid, module: &str) {
    for name in ["main", "printf", "ns::Counter::add", "no_such_name"] {
        let own = engine.lookup(pid, &format!("{module}!{name}"));
        let damaged = matches!(own, Err(Error::Invalid(_)));
        assert!(own.is_ok() || damaged, "{own:?}");
        // Others can be used as before.
        let any = engine.lookup(pid, name);
        assert!(any.is_ok(), "{any:?}");
    }
    let printf = engine
        .lookup(pid, "libc!printf")
        .expect("it is not damaged");
    assert!(printf.is_some());
    for module in engine.modules(pid).expect("it is there") {
        let mut addr = module.base;
        while addr < module.end.min(module.base + 0x8000) {
            let at = engine.resolve(pid, addr);
            assert!(at.is_ok(), "{at:?}");
            let lines = engine.locate(pid, addr);
            assert!(matches!(lines, Ok(_) | Err(Error::Invalid(_))), "{lines:?}");
            addr += 0x101;
        }
    }
    drop(engine.search(pid, "*!*a*", 0, 10));
    drop(engine.imports(pid, module));
    drop(engine.got_slot(pid, module, "printf"));
}

#[test]
fn c70_a_damaged_program_runs_and_harms_nobody() {
    let whole = fs::read(fixtures::SYM_PIE).expect("it is there");
    let folder = tempfile::tempdir().expect("a folder");
    // What the program needs is in front of what only others read.
    let first_unloaded = parts(&whole)[2..]
        .iter()
        .zip(0..)
        .filter(|(_, section)| is_unloaded(&whole, *section))
        .map(|((at, _), _)| *at)
        .min();
    let from = first_unloaded.expect("symbols and debug information");
    let parts: Vec<_> = parts(&whole)
        .into_iter()
        .filter(|(at, _)| *at >= from)
        .collect();
    assert!(parts.len() > 5);
    let mut numbers = Numbers(7);
    for round in 0..40 {
        let mut bytes = whole.clone();
        for _ in 0..20 {
            damage(&mut bytes, &parts, &mut numbers);
        }
        if round % 4 == 0 {
            bytes.truncate(from + numbers.below(whole.len() - from));
        }
        let path = folder.path().join(format!("damaged{round}"));
        write_program(&bytes, &path);
        let name = format!("damaged{round}");
        let mut asked = 0;
        at_tells(&path, None, |engine, client, stop| {
            if stop.args[0] == 0x5302 {
                ask_engine(engine, stop.pid, &name);
                assert!(engine.backtrace(client, stop.tid, 100).is_ok());
                asked += 1;
            }
        })
        .expect(0, "told\n");
        assert_eq!(asked, 1);
    }
}

/// Whether a section, not counting those without bytes, has no SHF_ALLOC.
fn is_unloaded(bytes: &[u8], section: usize) -> bool {
    let at = u64_at(bytes, 40);
    let count = usize::from(u16::from_le_bytes([bytes[60], bytes[61]]));
    let headers = (0..count).map(|n| at + n * 64);
    let mut headers = headers.filter(|header| {
        let kind = bytes[header + 4];
        kind != 8 && u64_at(bytes, header + 32) > 0
    });
    let header = headers.nth(section).expect("as many as parts");
    u64_at(bytes, header + 8) & 2 == 0
}
