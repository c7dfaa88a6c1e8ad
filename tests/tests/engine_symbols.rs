//! Names, addresses and lines of targets: case 45 of docs/TESTING.md.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use pai_engine::{Action, Engine, Error, Event, SymbolKind, SyscallStop, Topic};
use pai_tests::fixtures;
use pai_tests::probe::{at_tells, tells};
use pai_tests::target::{copy_program, write_program};
use pai_tests::trace::Trace;
use tempfile::TempDir;

#[track_caller]
fn value(engine: &mut Engine, stop: &SyscallStop, name: &str) -> Option<u64> {
    let symbol = engine.lookup(stop.pid, name).expect("it can be looked up");
    symbol.map(|symbol| symbol.value)
}

/// A folder that is removed in the end, with a copy of a program.
fn copy_of(fixture: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("prog");
    copy_program(fixture, &copy);
    (folder, copy)
}

#[track_caller]
fn tool(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status();
    assert!(
        status.expect("it can be executed").success(),
        "{program} {args:?}"
    );
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Compares the engine with what sym_pie says of itself.
#[track_caller]
fn agrees(program: impl AsRef<Path>, arg: Option<&str>, has_locals: bool) {
    let mut told = Vec::new();
    let traced = at_tells(program, arg, |engine, _, stop| {
        let pid = stop.pid;
        told.push(stop.args[0]);
        let [.., a, b, c, d, e] = stop.args;
        match stop.args[0] {
            0x5301 => {
                let local = |addr| has_locals.then_some(addr);
                assert_eq!(value(engine, stop, "main"), Some(a));
                assert_eq!(value(engine, stop, "exported_function"), Some(b));
                assert_eq!(value(engine, stop, "local_function"), local(c));
                assert_eq!(value(engine, stop, "exported_data"), Some(d));
                assert_eq!(value(engine, stop, "local_data"), local(e));
                let data = engine.lookup(pid, "exported_data");
                let data = data.expect("no error").expect("it is there");
                assert_eq!((data.kind, data.size), (SymbolKind::Object, 20));
                assert!(value(engine, stop, "weak_function").is_some());
                let tls = engine.lookup(pid, "exported_tls").expect("no error");
                assert_eq!(tls.expect("it is there").kind, SymbolKind::Tls);

                let at = engine.resolve(pid, b).expect("no error").expect("a symbol");
                assert_eq!(
                    (at.symbol.name.as_str(), at.offset),
                    ("exported_function", 0)
                );
                assert!(at.symbol.size > 0);
                let last = b + at.symbol.size - 1;
                let at = engine
                    .resolve(pid, last)
                    .expect("no error")
                    .expect("a symbol");
                assert_eq!(at.symbol.name, "exported_function");
                // Without its name it has at least its beginning.
                let at = engine
                    .resolve(pid, c + 2)
                    .expect("no error")
                    .expect("a symbol");
                let local = if has_locals { "local_function" } else { "" };
                assert_eq!((at.symbol.name.as_str(), at.offset), (local, 2));
                assert_eq!(engine.is_code(pid, b), Ok(true));
                assert_eq!(engine.is_code(pid, d), Ok(false));
                assert_eq!(engine.is_code(pid, 0), Ok(false));

                let modules = engine.modules(pid).expect("it is there");
                let entry = engine.entry(pid).expect("it is there");
                assert_eq!(modules[0].entry, Some(entry));
                assert!((modules[0].base..modules[0].end).contains(&a));
                if has_locals {
                    assert_eq!(value(engine, stop, "_start"), Some(entry));
                }
            }
            0x5302 if a != 0 => {
                assert_eq!(value(engine, stop, "printf"), Some(a));
                assert_eq!(value(engine, stop, "libc.so.6!printf"), Some(a));
                assert_eq!(value(engine, stop, "libc!printf"), Some(a));
                assert_eq!(value(engine, stop, "libc.so*!printf"), Some(a));
                assert_eq!(value(engine, stop, "*/libc.so.6!printf"), Some(a));
                assert_eq!(value(engine, stop, "libm!printf"), None);
                for (name, implementation) in [("memcpy", b), ("strlen", c)] {
                    let found = engine.lookup(pid, name).expect("no error");
                    let found = found.expect("it is there");
                    assert_eq!(found.kind, SymbolKind::Function, "{found:?}");
                    assert_eq!(found.value, implementation, "{found:?}");
                }
                assert_eq!(value(engine, stop, "__vdso_clock_gettime"), Some(d));
                assert_eq!(value(engine, stop, "[vdso]!__vdso_clock_gettime"), Some(d));
                let modules = engine.modules(pid).expect("it is there");
                let vdso = modules.last().expect("some");
                assert_eq!((vdso.name.as_str(), vdso.base), ("[vdso]", e));
            }
            0x5303 => {
                for (name, addr) in [
                    ("ns::Counter::add(int const&)", a),
                    ("ns::Counter::add", a),
                    ("_ZN2ns7Counter3addERKi", a),
                    ("void ns::apply<int>(int)", b),
                    ("ns::apply<int>", b),
                    ("demo::run", c),
                    ("demo::run::h0123456789abcdef", c),
                    ("crate_one::parse", d),
                ] {
                    assert_eq!(value(engine, stop, name), Some(addr), "{name}");
                }
                let at = engine
                    .resolve(pid, a + 1)
                    .expect("no error")
                    .expect("a symbol");
                let demangled = at.symbol.demangled.as_deref();
                assert_eq!(demangled, Some("ns::Counter::add(int const&)"));
            }
            _ => {}
        }
    });
    traced.expect(0, "told\n");
    assert_eq!(told, [0x5301, 0x5302, 0x5303]);
}

#[test]
fn c70_position_independent() {
    agrees(fixtures::SYM_PIE, None, true);
}

#[test]
fn c70_at_a_fixed_address() {
    agrees(fixtures::SYM_NO_PIE, None, true);
}

#[test]
fn c70_static() {
    agrees(fixtures::SYM_STATIC, None, true);
    agrees(fixtures::SYM_STATIC_PIE, None, true);
}

#[test]
fn c70_stripped() {
    agrees(fixtures::SYM_STRIPPED, None, false);
    // Nor are there section headers that would lead to anything.
    let (_folder, copy) = copy_of(fixtures::SYM_STRIPPED);
    let mut bytes = fs::read(&copy).expect("it is there");
    bytes[40..48].fill(0);
    bytes[58..64].fill(0);
    write_program(&bytes, &copy);
    agrees(&copy, None, false);
}

#[test]
fn c70_in_another_mount_namespace() {
    assert!(!Path::new("/mnt/sym_mount_ns").exists());
    agrees(fixtures::SYM_MOUNT_NS, Some(fixtures::SYM_PIE), true);
}

#[test]
fn c70_in_no_directory() {
    agrees(fixtures::SYM_MEMFD, Some(fixtures::SYM_PIE), true);
}

/// Changes the file of a program between its start and the first question.
#[track_caller]
fn changed_under_it(change: impl Fn(&Path)) {
    let (_folder, copy) = copy_of(fixtures::SYM_PIE);
    let mut seen = 0;
    let topics = vec![Topic::Execs, tells()];
    Trace::of(&copy)
        .client(topics, |engine, _, delivery| {
            match &delivery.event {
                Event::Execed(_) => change(&copy),
                Event::SyscallEnter(stop) if stop.args[0] == 0x5301 => {
                    assert_eq!(value(engine, stop, "main"), Some(stop.args[1]));
                    assert_eq!(
                        value(engine, stop, "prog!local_function"),
                        Some(stop.args[3])
                    );
                    assert_eq!(value(engine, stop, "not_there"), None);
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
fn c70_a_file_that_is_gone() {
    changed_under_it(|path| fs::remove_file(path).expect("it was there"));
}

#[test]
fn c70_a_file_that_is_another_one_now() {
    changed_under_it(|path| {
        let other = path.with_extension("new");
        fs::copy(fixtures::SYM_NO_PIE, &other).expect("a copy");
        fs::rename(other, path).expect("it can be replaced");
    });
}

#[test]
fn c70_libraries_come_and_go() {
    let mut told = Vec::new();
    at_tells(fixtures::SYM_DLOPEN, None, |engine, _, stop| {
        let [which, addr, ..] = stop.args;
        told.push(which);
        // Nobody says that something has changed.
        if which == 0x5304 {
            assert_eq!(value(engine, stop, "cbrt"), Some(addr));
            let at = engine.resolve(stop.pid, addr + 1).expect("no error");
            let at = at.expect("a symbol");
            assert_eq!(at.symbol.module, "libm.so.6");
            assert_eq!((at.symbol.name.contains("cbrt"), at.offset), (true, 1));
        } else {
            assert_eq!(value(engine, stop, "cbrt"), None);
            assert_eq!(engine.resolve(stop.pid, addr), Ok(None));
        }
        let modules = engine.modules(stop.pid).expect("it is there");
        let has = modules.iter().any(|module| module.name == "libm.so.6");
        assert_eq!(has, which == 0x5304);
    })
    .expect(0, "3 loads\n");
    assert_eq!(told, [0x5304, 0x5305, 0x5304, 0x5305, 0x5304, 0x5305]);
}

#[test]
fn c70_from_the_very_start() {
    let mut seen = 0;
    Trace::of(fixtures::SYM_PIE)
        .client(vec![Topic::Execs], |engine, _, delivery| {
            if let Event::Execed(exec) = &delivery.event {
                let names = |engine: &mut Engine| {
                    let modules = engine.modules(exec.pid).expect("it is there");
                    modules.into_iter().map(|m| m.name).collect::<Vec<_>>()
                };
                // Nothing has been loaded but the program and its loader.
                let before = names(engine);
                assert_eq!(before.len(), 3, "{before:?}");
                assert_eq!(before[0], "sym_pie");
                assert_eq!(before[2], "[vdso]");
                let main = engine.lookup(exec.pid, "main").expect("no error");
                assert!(main.is_some());
                // It imports that, and does not define it.
                assert_eq!(engine.lookup(exec.pid, "printf"), Ok(None));
                seen += 1;
            }
            Some(Action::Proceed)
        })
        .run()
        .expect(0, "told\n");
    assert_eq!(seen, 1);
}

#[test]
fn c70_searches() {
    let mut seen = 0;
    at_tells(fixtures::SYM_PIE, None, |engine, _, stop| {
        if stop.args[0] != 0x5301 {
            return;
        }
        let pid = stop.pid;
        let names = |engine: &mut Engine, pattern: &str, skip, max| {
            let found = engine.search(pid, pattern, skip, max).expect("no error");
            found
                .into_iter()
                .map(|symbol| symbol.name)
                .collect::<Vec<_>>()
        };
        let mut found = names(engine, "sym_pie!exported_*", 0, 100);
        found.sort();
        assert_eq!(
            found,
            ["exported_data", "exported_function", "exported_tls"]
        );
        assert_eq!(names(engine, "sym_pie!local_d?ta", 0, 100), ["local_data"]);
        let in_source = ["_ZN2ns7Counter3addERKi", "_ZN2ns5applyIiEEvT_"];
        assert_eq!(names(engine, "ns::*", 0, 100), in_source);
        let all = names(engine, "libc.so*!mem*", 0, 1000);
        assert!(all.len() > 10, "{all:?}");
        for name in ["memcpy", "memset", "mempcpy", "memfd_create"] {
            assert_eq!(all.iter().filter(|own| *own == name).count(), 1, "{name}");
        }
        assert_eq!(names(engine, "libc.so*!mem*", 3, 4), all[3..7]);
        assert!(names(engine, "nothing_like_this*", 0, 10).is_empty());
        let listed = engine.symbols_of(pid, "sym_pie", Some(SymbolKind::Tls), 0, 10);
        let listed = listed.expect("no error");
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].name, "exported_tls");
        let many = engine.search(pid, "*", 0, pai_engine::MAX_SYMBOLS + 1);
        assert_eq!(many, Err(Error::Limit("number of symbols")));
        let long = engine.search(pid, &"*a".repeat(5000), 0, 1);
        assert_eq!(long, Err(Error::Limit("pattern-size")));
        let nobody = pai_ptrace::Pid::new(1);
        let nothing = engine.lookup(nobody, "main");
        assert_eq!(nothing, Err(Error::NoSuchProcess(nobody)));
        assert_eq!(engine.entry(nobody), Err(Error::NoSuchProcess(nobody)));
        seen += 1;
    })
    .expect(0, "told\n");
    assert_eq!(seen, 1);
}

/// The number of the line of a fixture with a mark.
fn line_of(fixture: &str, mark: &str) -> u32 {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let source = fs::read_to_string(folder.join(fixture)).expect("UTF-8");
    let lines = source.lines().zip(1..);
    let mut fitting = lines.filter(|(line, _)| line.contains(&format!("/* line: {mark} */")));
    fitting.next().expect("a line with the mark").1
}

#[track_caller]
fn finds_lines(fixture: &str) {
    let mut seen = 0;
    at_tells(fixture, None, |engine, client, stop| {
        let frames = engine.backtrace(client, stop.tid, 3).expect("it is held");
        // Behind `syscall`: where all is inlined, and main.
        let mut lines = Vec::new();
        for frame in &frames[1..] {
            for line in engine.locate(stop.pid, frame - 1).expect("no error") {
                let file = line.file.expect("a file");
                assert!(file.starts_with('/'), "{file}");
                assert!(file.ends_with("fixtures/sym_inlined.c"), "{file}");
                lines.push((line.function.expect("a name"), line.line));
            }
        }
        let line = |name: &str| (name.to_owned(), Some(line_of("sym_inlined.c", name)));
        let expected = ["innermost", "middle", "outermost", "main"];
        assert_eq!(lines, expected.map(line));
        assert_eq!(engine.locate(stop.pid, 1), Ok(Vec::new()));
        seen += 1;
    })
    .expect(0, "told\n");
    assert_eq!(seen, 1);
}

#[test]
fn c70_lines_of_inlined_functions() {
    finds_lines(fixtures::SYM_INLINED);
    finds_lines(fixtures::SYM_INLINED_PACKED);
}

/// With a program whose debug information is in another file.
#[track_caller]
fn finds_debug_file(copy: &Path, directories: Vec<PathBuf>, found: bool) {
    let mut seen = 0;
    at_tells(copy, None, |engine, _, stop| {
        if stop.args[0] != 0x5301 {
            return;
        }
        engine.set_debug_directories(directories.clone());
        let local = found.then_some(stop.args[3]);
        assert_eq!(value(engine, stop, "local_function"), local);
        let lines = engine.locate(stop.pid, stop.args[2]).expect("no error");
        let file = lines.first().and_then(|line| line.file.as_deref());
        let is_source = file.is_some_and(|file| file.ends_with("fixtures/sym_pie.c"));
        assert_eq!(is_source, found);
        seen += 1;
    })
    .expect(0, "told\n");
    assert_eq!(seen, 1);
}

/// Splits a program into itself and its debug file, `prog.debug` beside it.
fn split(copy: &Path) -> PathBuf {
    let debug = copy.with_extension("debug");
    tool("objcopy", &["--only-keep-debug", text(copy), text(&debug)]);
    tool("objcopy", &["--strip-all", text(copy)]);
    debug
}

#[test]
fn c70_debug_files_by_build_id() {
    let (folder, copy) = copy_of(fixtures::SYM_PIE);
    let debug = split(&copy);
    let root = folder.path().join("debug");
    finds_debug_file(&copy, vec![root.clone()], false);
    let mut id = String::new();
    at_tells(&copy, None, |engine, _, stop| {
        let modules = engine.modules(stop.pid).expect("it is there");
        let bytes = modules[0].build_id.clone().expect("it was made");
        id = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    });
    assert_eq!(id.len(), 40);
    let place = root.join(".build-id").join(&id[..2]);
    fs::create_dir_all(&place).expect("a folder");
    let place = place.join(format!("{}.debug", &id[2..]));
    // Somebody else's is not taken.
    tool(
        "objcopy",
        &["--only-keep-debug", fixtures::SYM_NO_PIE, text(&place)],
    );
    finds_debug_file(&copy, vec![root.clone()], false);
    fs::remove_file(&place).expect("it was there");
    symlink(debug, place).expect("a link");
    finds_debug_file(&copy, vec![root], true);
}

#[test]
fn c70_debug_files_by_name() {
    let (folder, copy) = copy_of(fixtures::SYM_NO_PIE);
    let debug = split(&copy);
    tool(
        "objcopy",
        &[
            &format!("--add-gnu-debuglink={}", text(&debug)),
            text(&copy),
        ],
    );
    let root = folder.path().join("debug");
    let here = fs::canonicalize(folder.path()).expect("it is there");
    let below = root.join(here.strip_prefix("/").expect("an absolute path"));
    let kept = folder.path().join("kept");
    fs::rename(debug, &kept).expect("it is there");
    finds_debug_file(&copy, vec![root.clone()], false);
    let mut changed = fs::read(&kept).expect("it is there");
    changed.push(0);
    for place in [here.clone(), here.join(".debug"), below] {
        fs::create_dir_all(&place).expect("a folder");
        let place = place.join("prog.debug");
        // One that was changed since is not taken.
        fs::write(&place, &changed).expect("it can be written");
        finds_debug_file(&copy, vec![root.clone()], false);
        fs::copy(&kept, &place).expect("a copy");
        finds_debug_file(&copy, vec![root.clone()], true);
        fs::remove_file(&place).expect("it was there");
    }
}

#[test]
fn c70_slots_of_calls() {
    let mut slots = Vec::new();
    at_tells(fixtures::SYM_GOT, None, |engine, _, stop| {
        let pid = stop.pid;
        let slot = engine
            .got_slot(pid, "sym_got", "getpgrp")
            .expect("no error");
        let slot = slot.expect("it is called");
        slots.push(slot);
        let bytes = engine.read(pid, slot, 8).expect("it can be read");
        let leads_to = u64::from_ne_bytes(bytes.try_into().expect("eight bytes"));
        match stop.args[0] {
            0x5307 => {
                // To the stub behind the one that jumps through it.
                assert_eq!(engine.is_code(pid, leads_to), Ok(true));
                let modules = engine.modules(pid).expect("it is there");
                assert!((modules[0].base..modules[0].end).contains(&leads_to));
                let imports = engine.imports(pid, "sym_got").expect("no error");
                let own = imports.iter().find(|import| import.name == "getpgrp");
                let own = own.expect("it is imported");
                assert_eq!((own.slot, own.is_call), (slot, true));
                assert!(!imports.iter().any(|import| import.name == "main"));
            }
            0x5308 => {
                assert_eq!(value(engine, stop, "getpgrp"), Some(leads_to));
                let ours = stop.args[1].to_ne_bytes();
                engine.write(pid, slot, &ours).expect("it can be written");
            }
            _ => {}
        }
        let none = engine.got_slot(pid, "sym_got", "getpgrpx");
        assert_eq!(none, Ok(None));
    })
    .expect(0, "first: theirs\nsecond: ours\n");
    assert_eq!(slots.len(), 3);
    assert!(slots.iter().all(|slot| *slot == slots[0]));
}

#[test]
fn c70_slots_of_data() {
    let mut seen = 0;
    at_tells(fixtures::SYM_GOT_DATA, None, |engine, _, stop| {
        if stop.args[0] != 0x5307 {
            return;
        }
        let pid = stop.pid;
        let slot = engine
            .got_slot(pid, "sym_got_data", "getpgrp")
            .expect("no error");
        let slot = slot.expect("it is called");
        let bytes = engine.read(pid, slot, 8).expect("it can be read");
        let leads_to = u64::from_ne_bytes(bytes.try_into().expect("eight bytes"));
        assert_eq!(value(engine, stop, "getpgrp"), Some(leads_to));
        let imports = engine.imports(pid, "sym_got_data").expect("no error");
        let own = imports.iter().find(|import| import.name == "getpgrp");
        assert!(!own.expect("it is imported").is_call);
        let ours = stop.args[1].to_ne_bytes();
        engine.write(pid, slot, &ours).expect("it can be written");
        seen += 1;
    })
    .expect(0, "first: ours\nsecond: ours\n");
    assert_eq!(seen, 1);
}

#[test]
fn c70_stubs_have_names() {
    let mut seen = 0;
    at_tells(fixtures::SYM_GOT, None, |engine, _, stop| {
        if stop.args[0] != 0x5308 {
            return;
        }
        // main calls the stub: the only near call of it that leads there.
        let main = engine.lookup(stop.pid, "main").expect("no error");
        let main = main.expect("it is there");
        let size = usize::try_from(main.size).expect("small");
        let code = engine.read(stop.pid, main.value, size).expect("it is code");
        let mut called = Vec::new();
        for (at, bytes) in (main.value..).zip(code.windows(5)) {
            let [0xe8, distance @ ..] = bytes else {
                continue;
            };
            let distance = i32::from_le_bytes(distance.try_into().expect("four bytes"));
            let target = (at + 5).wrapping_add_signed(distance.into());
            if let Some(at) = engine.resolve(stop.pid, target).expect("no error") {
                called.push((at.symbol.name, at.offset));
            }
        }
        assert!(
            called.contains(&("getpgrp@plt".to_owned(), 0)),
            "{called:?}"
        );
        seen += 1;
    })
    .expect(0, "first: theirs\nsecond: theirs\n");
    assert_eq!(seen, 1);
}
