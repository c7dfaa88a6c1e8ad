//! What a process has loaded, and what of it is looked up first: the rest of
//! case 45 of docs/TESTING.md.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::prctl::set_dumpable;
use nix::unistd::{Uid, setresuid};
use pai_engine::{Action, Engine, Event, ExitStatus, Protection, SymbolKind, Topic};
use pai_ptrace::Pid;
use pai_tests::fixtures;
use pai_tests::probe::{at_tells, tells};
use pai_tests::target::{Target, copy_program, helper, role, tell};
use pai_tests::trace::{Trace, calls};

#[track_caller]
fn kind_of(engine: &mut Engine, pid: Pid, name: &str) -> SymbolKind {
    let symbol = engine.lookup(pid, name).expect("no error");
    symbol.expect("it is there").kind
}

#[test]
fn c70_indirect_functions_before_and_after_they_are_chosen() {
    let mut chooser = None;
    let mut seen = 0;
    let topics = vec![Topic::Execs, tells()];
    Trace::of(fixtures::SYM_STATIC)
        .client(topics, |engine, _, delivery| {
            match &delivery.event {
                Event::Execed(exec) => {
                    // Nothing has been executed, so nobody has chosen.
                    let symbol = engine.lookup(exec.pid, "memcpy").expect("no error");
                    let symbol = symbol.expect("it is there");
                    assert_eq!(symbol.kind, SymbolKind::Ifunc);
                    chooser = Some(symbol.value);
                }
                Event::SyscallEnter(stop) if stop.args[0] == 0x5301 => {
                    let symbol = engine.lookup(stop.pid, "memcpy").expect("no error");
                    let symbol = symbol.expect("it is there");
                    assert_eq!(symbol.kind, SymbolKind::Function);
                    assert_ne!(Some(symbol.value), chooser);
                    let at = engine.resolve(stop.pid, symbol.value).expect("no error");
                    let at = at.expect("a symbol");
                    assert!(at.symbol.name.starts_with("__mem"), "{at:?}");
                    assert_eq!((at.offset, at.symbol.size), (0, symbol.size));
                    seen += 1;
                }
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run()
        .expect(0, "told\n");
    assert_eq!(seen, 1);
}

#[test]
fn c70_modules_in_the_order_of_look_ups() {
    let mut seen = 0;
    at_tells(fixtures::SYM_DLOPEN, None, |engine, _, stop| {
        if stop.args[0] != 0x5304 {
            return;
        }
        let modules = engine.modules(stop.pid).expect("it is there");
        let names: Vec<&str> = modules.iter().map(|m| m.name.as_str()).collect();
        // The loader comes behind what the program needs, and what
        // was loaded at run time behind both; addresses descend.
        let expected = [
            "sym_dlopen",
            "libc.so.6",
            "ld-linux-x86-64.so.2",
            "libm.so.6",
            "[vdso]",
        ];
        assert_eq!(names, expected);
        let maps = engine.maps(stop.pid).expect("it is there");
        for module in &modules {
            let mut own = maps.iter().filter(|map| map.name == module.path);
            let first = own.next().expect("a mapping").start;
            let last = own.next_back().map_or(module.end, |map| map.end);
            assert_eq!((module.base, module.end >= last), (first, true));
        }
        seen += 1;
    })
    .expect(0, "3 loads\n");
    assert_eq!(seen, 3);
}

#[test]
fn c70_programs_of_32_bits() {
    let mut seen = 0;
    Trace::of(fixtures::HELLO_32)
        .client(
            vec![Topic::Execs, calls(&["write"], true, false)],
            |engine, client, delivery| {
                match &delivery.event {
                    Event::Execed(exec) => {
                        let entry = engine.entry(exec.pid).expect("it is there");
                        let modules = engine.modules(exec.pid).expect("it is there");
                        assert_eq!(modules[0].entry, Some(entry));
                        let start = engine.lookup(exec.pid, "_start").expect("no error");
                        assert_eq!(start.expect("it is there").value, entry);
                    }
                    Event::SyscallEnter(stop) => {
                        let at = engine.resolve(stop.pid, stop.ip).expect("no error");
                        assert!(at.is_some());
                        let frames = engine.backtrace(client, stop.tid, 10);
                        assert_eq!(frames.expect("it is held")[0], stop.ip);
                        seen += 1;
                    }
                    _ => {}
                }
                Some(Action::Proceed)
            },
        )
        .run_like_untraced();
    assert!(seen > 0);
}

#[test]
fn c70_after_an_exec_the_symbols_are_the_new_program_s() {
    let mut kinds = Vec::new();
    Trace::of(fixtures::EXEC_COMMAND)
        .arg(fixtures::SYM_NO_PIE)
        .client(
            vec![calls(&["execve", "getpriority"], true, true)],
            |engine, _, delivery| {
                if let Event::SyscallEnter(stop) = &delivery.event {
                    let own = engine.lookup(stop.pid, "exported_data").expect("no error");
                    let modules = engine.modules(stop.pid).expect("it is there");
                    kinds.push((own.map(|symbol| symbol.kind), modules[0].name.clone()));
                    assert_eq!(kind_of(engine, stop.pid, "main"), SymbolKind::Function);
                }
                Some(Action::Proceed)
            },
        )
        .run();
    kinds.dedup();
    let of = |kind, name: &str| (kind, name.to_owned());
    let expected = [
        of(None, "exec_command"),
        of(Some(SymbolKind::Object), "sym_no_pie"),
    ];
    // The first execve is ours, before there is a program.
    assert_eq!(kinds[kinds.len() - 2..], expected);
}

#[test]
fn c70_without_privileges() {
    const TEST: &str = "c70_without_privileges";
    if let Some(program) = role() {
        let nobody = Uid::from_raw(65534);
        setresuid(nobody, nobody, nobody).expect("root before");
        // As after an exec by this user; else our children are not ours.
        set_dumpable(true).expect("a process can say that");
        let mut seen = 0;
        at_tells(&program, None, |engine, _, stop| {
            if stop.args[0] != 0x5301 {
                return;
            }
            // That is for the privileged.
            let maps = engine.maps(stop.pid).expect("it is there");
            let exact = format!(
                "/proc/{}/map_files/{:x}-{:x}",
                stop.pid, maps[0].start, maps[0].end
            );
            assert!(fs::File::open(exact).is_err());
            let found = engine.lookup(stop.pid, "local_function");
            let found = found.expect("no error").expect("it is there");
            assert_eq!(found.value, stop.args[3]);
            let found = engine.lookup(stop.pid, "libc!printf");
            assert!(found.expect("no error").is_some());
            seen += 1;
        })
        .expect(0, "told\n");
        return tell(&format!("{seen} seen"));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let all = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder.path(), all).expect("it is ours");
    let copy = folder.path().join("prog");
    copy_program(fixtures::SYM_PIE, &copy);
    let mut helper = Target::launch(&mut helper(TEST, copy.to_str().expect("UTF-8")));
    assert_eq!(helper.told(), "1 seen");
    assert_eq!(helper.status(), ExitStatus::Exited(0));
}

/// Single mappings are asked of the kernel, all of them are read from a file.
#[test]
fn c44_code_at_the_edges_of_mappings() {
    let mut looks = 0;
    Trace::of(fixtures::VFORK_EXEC)
        .client(
            vec![calls(&["execve", "exit_group"], true, false)],
            |engine, _, delivery| {
                if let Event::SyscallEnter(stop) = &delivery.event {
                    let maps = engine.maps(stop.pid).expect("it is there");
                    let is_code = |addr| {
                        let mut here = maps.iter().filter(|m| (m.start..m.end).contains(&addr));
                        here.any(|map| map.protection.contains(Protection::EXECUTE))
                    };
                    let edges = maps.iter().flat_map(|map| [map.start, map.end]);
                    for addr in edges.flat_map(|edge| [edge - 1, edge]) {
                        let said = engine.is_code(stop.pid, addr);
                        assert_eq!(said, Ok(is_code(addr)), "{addr:#x}");
                    }
                    assert!(is_code(stop.ip));
                    looks += 1;
                }
                Some(Action::Proceed)
            },
        )
        .run_like_untraced();
    // At the start; in the child before and after its execve, while its parent's memory
    // is still there; in the parent.
    assert_eq!(looks, 4);
}
