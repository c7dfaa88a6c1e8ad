//! Memory of the target: case 44 of docs/TESTING.md.

use std::collections::BTreeMap;
use std::fs;

use pai_engine::{
    Action, Engine, Error, Event, MAX_READ, Mapping, OtherStop, Protection, SyscallStop, Topic,
};
use pai_ptrace::Pid;
use pai_syscalls::abi::I386;
use pai_tests::fixtures;
use pai_tests::trace::{Trace, Traced, all_syscalls, calls, everything, name};

/// Runs a fixture and looks at the entry of each of these calls.
#[track_caller]
fn at_entries(
    fixture: &str,
    names: &[&str],
    mut look: impl FnMut(&mut Engine, &SyscallStop),
) -> Traced {
    Trace::of(fixture)
        .client(vec![calls(names, true, false)], |engine, _, delivery| {
            if let Event::SyscallEnter(stop) = &delivery.event {
                look(engine, stop);
            }
            Some(Action::Proceed)
        })
        .run_like_untraced()
}

fn bad(pid: Pid, addr: u64, done: u64) -> Error {
    Error::BadAddress { pid, addr, done }
}

#[test]
fn c44_every_width() {
    let mut looks = 0;
    at_entries(fixtures::MEM_READABLE, &["getpriority"], |engine, stop| {
        let pid = stop.pid;
        let [0x1234, a, b, c, d, table] = stop.args else {
            return;
        };
        let word = 0x8182_8384_8586_8788_u64;
        assert_eq!(engine.read(pid, a, 1), Ok(vec![0x81]));
        assert_eq!(engine.read(pid, b, 2), Ok(vec![0x82, 0x81]));
        assert_eq!(engine.read(pid, c, 4), Ok(vec![0x84, 0x83, 0x82, 0x81]));
        assert_eq!(engine.read(pid, d, 8), Ok(word.to_ne_bytes().to_vec()));
        let mut entries = 0x1122_3344_5566_7788_u64.to_ne_bytes().to_vec();
        entries.extend([0; 16]);
        assert_eq!(engine.read(pid, table, 24), Ok(entries));
        looks += 1;
    });
    assert_eq!(looks, 1);
}

#[test]
fn c44_reads_end_where_memory_ends() {
    let mut looks = 0;
    at_entries(fixtures::MEM_READABLE, &["getpriority"], |engine, stop| {
        let pid = stop.pid;
        let [0x1235, text, unmapped, forbidden, crossing, open] = stop.args else {
            return;
        };
        let words = b"ends with its page\0";
        assert_eq!(engine.read(pid, text, 19), Ok(words.to_vec()));
        assert_eq!(engine.read(pid, text, 20), Err(bad(pid, unmapped, 19)));
        assert_eq!(engine.read_some(pid, text, 4096), Ok(words.to_vec()));
        assert_eq!(engine.read(pid, unmapped, 1), Err(bad(pid, unmapped, 0)));
        let some = engine.read_some(pid, unmapped, 9);
        assert_eq!(some, Err(bad(pid, unmapped, 0)));
        assert_eq!(engine.read(pid, unmapped, 0), Ok(vec![]));

        let string = engine.read_c_string(pid, text, 4096);
        assert_eq!(string, Ok(words[..18].to_vec()));
        assert_eq!(engine.read_c_string(pid, text, 4), Ok(b"ends".to_vec()));
        let string = engine.read_c_string(pid, unmapped, 4096);
        assert_eq!(string, Err(bad(pid, unmapped, 0)));
        let border = b"crosses a page border";
        let string = engine.read_c_string(pid, crossing, 4096);
        assert_eq!(string, Ok(border.to_vec()));

        // A page that the target itself must not read can be read.
        assert_eq!(engine.read(pid, forbidden, 3), Ok(vec![0; 3]));
        assert_eq!(engine.read(pid, open, 6), Ok(b"open\0\0".to_vec()));
        let string = engine.read_c_string(pid, open, 4096);
        assert_eq!(string, Ok(b"open".to_vec()));

        // One that fails takes no other with it.
        let requests = [
            (text, 19),
            (unmapped, 8),
            (crossing, border.len()),
            (forbidden, 2),
            (text, 20),
            (0, 1),
            (open, 4),
        ];
        let results = engine.read_many(pid, &requests).expect("it is there");
        let expected = [
            Ok(words.to_vec()),
            Err(bad(pid, unmapped, 0)),
            Ok(border.to_vec()),
            Ok(vec![0, 0]),
            Err(bad(pid, unmapped, 19)),
            Err(bad(pid, 0, 0)),
            Ok(b"open".to_vec()),
        ];
        assert_eq!(results, expected);
        looks += 1;
    });
    assert_eq!(looks, 1);
}

/// Much is read another way than little.
#[test]
fn c44_much_ends_where_memory_ends() {
    const PAGE: u64 = 4096;
    let mut looks = 0;
    at_entries(fixtures::MEM_READABLE, &["getpriority"], |engine, stop| {
        let pid = stop.pid;
        let [0x1237, pages, end, 0, 0, 0] = stop.args else {
            return;
        };
        let len = usize::try_from(end - pages).expect("some pages");
        let mut all = vec![0; len];
        for (number, page) in (0..).zip(all.chunks_mut(PAGE as usize)) {
            page[0] = number;
        }
        assert_eq!(engine.read(pid, pages, len), Ok(all.clone()));
        let odd = engine.read(pid, pages + 5, len - 6);
        assert_eq!(odd, Ok(all[5..len - 1].to_vec()));
        let more = engine.read(pid, pages, len + 1);
        assert_eq!(more, Err(bad(pid, end, len as u64)));
        assert_eq!(engine.read_some(pid, pages, len + 4096), Ok(all));
        let nothing = engine.read_some(pid, end, len);
        assert_eq!(nothing, Err(bad(pid, end, 0)));
        looks += 1;
    });
    assert_eq!(looks, 1);
}

#[test]
fn c44_whatever_its_protection() {
    let mut looks = 0;
    at_entries(fixtures::MEM_READABLE, &["getpriority"], |engine, stop| {
        let [0x1236, writable, read_only, executable, 0, 0] = stop.args else {
            return;
        };
        let maps = engine.maps(stop.pid).expect("it is there");
        let read = Protection::READ;
        for (addr, protection) in [
            (writable, read | Protection::WRITE),
            (read_only, read),
            (executable, read | Protection::EXECUTE),
        ] {
            let mut text = b"as built".to_vec();
            text.resize(32, 0);
            assert_eq!(engine.read(stop.pid, addr, 32), Ok(text));
            let map = maps.iter().find(|map| (map.start..map.end).contains(&addr));
            assert_eq!(map.expect("a mapping").protection, protection);
        }
        looks += 1;
    });
    assert_eq!(looks, 1);
}

#[test]
fn c44_addresses_that_cannot_be() {
    let addresses = [
        0,
        1,
        0x0000_7fff_ffff_f000,
        0x0000_8000_0000_0000,
        0x8000_0000_0000_0000,
        0xdead_0000_0000_0000,
        0xffff_8000_0000_0000,
        0xffff_ffff_ffff_f000,
        u64::MAX,
    ];
    let traced = at_entries(fixtures::HELLO, &["exit_group"], |engine, stop| {
        let pid = stop.pid;
        for addr in addresses {
            for len in [1, 8, 4096, 100_000] {
                assert_eq!(engine.read(pid, addr, len), Err(bad(pid, addr, 0)));
                assert_eq!(engine.read_some(pid, addr, len), Err(bad(pid, addr, 0)));
            }
            let string = engine.read_c_string(pid, addr, 100);
            assert_eq!(string, Err(bad(pid, addr, 0)));
        }
        let requests = addresses.map(|addr| (addr, 8));
        let results = engine.read_many(pid, &requests).expect("it is there");
        for (addr, result) in addresses.into_iter().zip(results) {
            assert_eq!(result, Err(bad(pid, addr, 0)));
        }
        let limit = Err(Error::Limit("read-size"));
        assert_eq!(engine.read(pid, stop.ip, MAX_READ + 1), limit);
        assert_eq!(engine.read_c_string(pid, stop.ip, MAX_READ + 1), limit);
        let half = (stop.ip, MAX_READ / 2 + 1);
        let both = engine.read_many(pid, &[half, half]);
        assert_eq!(both, Err(Error::Limit("read-size")));
        let nobody = Pid::new(1);
        let none = Err(Error::NoSuchProcess(nobody));
        assert_eq!(engine.read(nobody, stop.ip, 1), none);
    });
    // Each is counted.
    assert_eq!(traced.stats.unexpected, 9 * (4 * 2 + 1 + 1));
}

#[test]
fn c44_bad_pointers_of_the_target() {
    let mut results = Vec::new();
    at_entries(fixtures::BAD_POINTERS, &["openat"], |engine, stop| {
        results.push(engine.read_c_string(stop.pid, stop.args[1], 4096));
    });
    let refused = &results[results.len() - 5..];
    for (result, addr) in refused
        .iter()
        .zip([0, 1, 0xdead_0000_0000_0000, 0xffff_8000_0000_0000])
    {
        let Err(Error::BadAddress { addr: at, done, .. }) = result else {
            panic!("{result:?}");
        };
        assert_eq!((*at, *done), (addr, 0));
    }
    // Its end is that of a page.
    let Err(Error::BadAddress { addr, done: 16, .. }) = refused[4] else {
        panic!("{refused:?}");
    };
    assert_eq!(addr % 4096, 0);
}

#[test]
fn c44_texts_are_bytes() {
    let mut paths = Vec::new();
    let mut task = String::new();
    let names = ["openat", "exit_group"];
    at_entries(fixtures::HOSTILE_STRINGS, &names, |engine, stop| {
        if name(stop) == "openat" {
            let path = engine.read_c_string(stop.pid, stop.args[1], 4096);
            paths.push(path.expect("a path"));
        } else {
            task = engine.task(stop.tid).expect("it is there").name;
        }
    });
    let mut long = b"/nonexistent/".to_vec();
    long.resize(4095, b'l');
    let expected: [&[u8]; 7] = [
        b"/nonexistent/\x1b[2J\x1b[31mred\x1b]0;title\x07\x9b2J",
        b"/nonexistent/a\nopenat(AT_FDCWD, \"/etc/shadow\", O_RDONLY) = 3\r\n",
        b"/nonexistent/\xff\xfe\xc0\x80\xed\xa0\x80\xf8",
        b"/nonexistent/\"'\\x41\\\\%s%n$(reboot)`reboot`",
        "/nonexistent/\u{202e}txt.exe\u{2066}\u{200b}\u{feff}".as_bytes(),
        &long,
        b"",
    ];
    assert_eq!(paths[paths.len() - 7..], expected);
    assert_eq!(task, "\x1b[2Jevil\n)");
}

#[test]
fn c44_long_argument_lists() {
    let mut argv = Vec::new();
    let mut read = Vec::new();
    Trace::of(fixtures::HUGE_ARGV)
        .client(everything(), |engine, _, delivery| {
            match &delivery.event {
                Event::Execed(exec) => argv.push(exec.argv.clone()),
                Event::SyscallEnter(stop) if name(stop) == "execve" && argv.len() == 1 => {
                    let table = engine.read(stop.pid, stop.args[1], 642 * 8);
                    for pointer in table.expect("a table").chunks_exact(8) {
                        let addr = u64::from_ne_bytes(pointer.try_into().expect("eight bytes"));
                        if addr != 0 {
                            let text = engine.read_c_string(stop.pid, addr, 1 << 20);
                            read.push(text.expect("a text"));
                        }
                    }
                }
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run_like_untraced()
        .expect(0, "641 arguments\n");
    assert_eq!(argv.len(), 2);
    let letters = (b'a'..=b'z').cycle();
    let mut expected: Vec<_> = letters.take(640).map(|letter| vec![letter; 127]).collect();
    expected[0] = b"huge_argv".to_vec();
    // Its number is 640, which is 16 modulo 26.
    expected.push(vec![b'q'; 20 * 1024]);
    assert_eq!(read, expected);
    // What is told unasked is cut off.
    let mut bytes = expected.join(&0);
    bytes.truncate(64 << 10);
    bytes.extend("…".bytes());
    let told: Vec<_> = bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    assert_eq!(argv[1], told);
}

#[test]
fn c44_after_an_exec_the_memory_is_the_new_program_s() {
    let mut images = 0;
    let mut entries = 0;
    Trace::of(fixtures::EXEC_MANY)
        .arg(50)
        .client(everything(), |engine, _, delivery| {
            match &delivery.event {
                Event::Execed(exec) => {
                    images += 1;
                    let maps = engine.maps(exec.pid).expect("it is there");
                    let path = String::from_utf8(exec.path.clone()).expect("UTF-8");
                    let program = maps.iter().find(|map| map.name == path);
                    let start = program.expect("its own").start;
                    let magic = engine.read(exec.pid, start, 4);
                    assert_eq!(magic, Ok(b"\x7fELF".to_vec()));
                }
                Event::SyscallEnter(stop) => {
                    let code = engine.read(stop.pid, stop.ip - 2, 2);
                    assert_eq!(code, Ok(vec![0x0f, 0x05]));
                    entries += 1;
                }
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert_eq!(images, 51);
    assert!(entries > 51);
}

#[test]
fn c44_after_an_exec_the_old_memory_is_gone() {
    let mut old = None;
    let mut gone = 0;
    let mut written = Vec::new();
    Trace::of(fixtures::EXEC_COMMAND)
        .arg(fixtures::HELLO_32)
        .client(everything(), |engine, _, delivery| {
            match &delivery.event {
                Event::SyscallEnter(stop) if name(stop) == "execve" => {
                    let path = engine.read_c_string(stop.pid, stop.args[0], 4096);
                    if path == Ok(fixtures::HELLO_32.as_bytes().to_vec()) {
                        old = Some(stop.args[0]);
                    }
                }
                Event::SyscallEnter(stop) if stop.call.abi == I386 && name(stop) == "write" => {
                    let len = usize::try_from(stop.args[2]).expect("few");
                    written.push(engine.read(stop.pid, stop.args[1], len));
                }
                Event::Execed(exec) => {
                    if let Some(addr) = old {
                        // No address of a 32-bit program.
                        assert_eq!(engine.read(exec.pid, addr, 1), Err(bad(exec.pid, addr, 0)));
                        gone += 1;
                    }
                }
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert_eq!(gone, 1);
    assert_eq!(written, [Ok(b"hello\n".to_vec())]);
}

/// Whichever task is the last, and however it ends.
#[test]
fn c44_memory_is_there_until_the_last_task_ends() {
    for (fixture, symbol) in [
        (fixtures::HELLO, "main"),
        (fixtures::MAIN_THREAD_EXIT, "main"),
        (fixtures::EXIT_GROUP_RACE, "main"),
    ] {
        let mut last = None;
        Trace::of(fixture)
            .client(vec![Topic::AllStops], |engine, _, delivery| {
                if let Event::Stop {
                    pid,
                    kind: OtherStop::Exit,
                    ..
                } = delivery.event
                {
                    let main = engine.lookup(pid, symbol).expect("no error");
                    let main = main.expect("a symbol").value;
                    let at = engine
                        .resolve(pid, main)
                        .expect("no error")
                        .map(|at| at.offset);
                    let mapped =
                        |maps: Vec<Mapping>| maps.iter().any(|m| (m.start..m.end).contains(&main));
                    let read = engine.read(pid, main, 16).map(|bytes| bytes.len());
                    last = Some((at, read, engine.maps(pid).map(mapped)));
                }
                Some(Action::Proceed)
            })
            .run();
        assert_eq!(last, Some((Some(0), Ok(16), Ok(true))), "{fixture}");
    }
}

#[test]
fn c44_code_of_every_kind_of_program() {
    for fixture in [
        fixtures::HELLO,
        fixtures::STATIC_HELLO,
        fixtures::STATIC_PIE,
        fixtures::HELLO_32,
        fixtures::INT80,
        fixtures::INT80_STATIC,
        fixtures::FAR_JUMP_32,
    ] {
        let mut entries = 0;
        let mut execed = false;
        Trace::of(fixture)
            .client(everything(), |engine, _, delivery| {
                match &delivery.event {
                    Event::Execed(_) => execed = true,
                    // The execve itself is still ours.
                    Event::SyscallEnter(stop) if execed => {
                        let code = engine.read(stop.pid, stop.ip - 2, 2);
                        let instruction = if stop.call.abi == I386 {
                            [0xcd, 0x80]
                        } else {
                            [0x0f, 0x05]
                        };
                        assert_eq!(code, Ok(instruction.to_vec()));
                        entries += 1;
                    }
                    _ => {}
                }
                Some(Action::Proceed)
            })
            .run_like_untraced();
        assert!(entries >= 2);
    }
}

#[test]
fn c44_code_made_at_run_time() {
    let mut page = 0;
    let mut seen = Vec::new();
    Trace::of(fixtures::JIT_PAGE)
        .client(vec![all_syscalls()], |engine, _, delivery| {
            if let Event::SyscallEnter(stop) = &delivery.event {
                match name(stop) {
                    "mprotect" => page = stop.args[0],
                    "getppid" => seen.push(engine.read(stop.pid, page, 9)),
                    _ => {}
                }
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    let expected: Vec<_> = (1..=3_u8)
        .map(|n| {
            let mut code = vec![0xb8, n, 0, 0, 0, 0x90, 0x90, 0x90, 0x90];
            code[5 + usize::from(n)] = 0xc3;
            Ok(code)
        })
        .collect();
    assert_eq!(seen, expected);
}

#[test]
fn c44_code_that_changes_itself() {
    let mut page = 0;
    let mut seen = Vec::new();
    Trace::of(fixtures::SELF_MODIFY)
        .client(vec![all_syscalls()], |engine, _, delivery| {
            if let Event::SyscallEnter(stop) = &delivery.event {
                match name(stop) {
                    "mprotect" => page = stop.args[0],
                    "getppid" => seen.push(engine.read(stop.pid, page, 4096).expect("code")),
                    _ => {}
                }
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    let [before, after] = &seen[..] else {
        panic!("{} calls", seen.len());
    };
    // One byte of one instruction.
    let changed: Vec<_> = (0..4096).filter(|n| before[*n] != after[*n]).collect();
    let [at] = changed[..] else {
        panic!("{changed:?}");
    };
    assert_eq!(before[at - 1..at + 5], [0xb8, 1, 0, 0, 0, 0xc3]);
    assert_eq!(after[at - 1..at + 5], [0xb8, 2, 0, 0, 0, 0xc3]);
}

#[test]
fn c44_mappings_that_come_and_go() {
    let mut seen = Vec::new();
    let names = ["getppid", "exit_group"];
    at_entries(fixtures::DLOPEN_LATE, &names, |engine, stop| {
        let maps = engine.maps(stop.pid).expect("it is there");
        let code = maps.iter().find(|map| {
            map.name.ends_with("/libm.so.6") && map.protection.contains(Protection::EXECUTE)
        });
        let code = code.map(|map| {
            let bytes = engine.read(stop.pid, map.start, 64).expect("code");
            let file = fs::read(&map.name).expect("a file");
            let offset = usize::try_from(map.offset).expect("small");
            assert_eq!(bytes, file[offset..offset + 64]);
        });
        seen.push((name(stop), code.is_some()));
    });
    let expected = [
        ("getppid", true),
        ("getppid", true),
        ("getppid", true),
        ("exit_group", false),
    ];
    assert_eq!(seen, expected);
}

/// The CPUs that a process may use, as far as the first 64 go.
fn cpus(pid: Pid) -> u64 {
    let mask = pai_engine::procfs::status_field(pid.leader(), "Cpus_allowed");
    let digits: String = mask
        .expect("it is there")
        .chars()
        .filter(|c| *c != ',')
        .collect();
    let low = &digits[digits.len().saturating_sub(16)..];
    u64::from_str_radix(low, 16).expect("a mask")
}

#[test]
fn c02_the_target_keeps_its_cpus() {
    let own = cpus(Pid::new(std::process::id().cast_signed()));
    let mut seen = BTreeMap::new();
    let traced = Trace::of(fixtures::OWN_AFFINITY)
        .arg(format!("{own:x}"))
        .client(vec![all_syscalls()], |_, _, delivery| {
            if let Event::SyscallEnter(stop) = &delivery.event {
                *seen.entry(cpus(stop.pid)).or_insert(0) += 1;
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    traced.expect(0, "same\n");
    assert_eq!(seen.keys().collect::<Vec<_>>(), [&own]);
}
