//! Writing to the target's memory, and searching in it.

use std::cell::Cell;

use pai_engine::{Action, Engine, Error, Event, MAX_PATTERN, MAX_SEARCH, MAX_WRITE};
use pai_ptrace::Pid;
use pai_tests::fixtures;
use pai_tests::probe::at_tells;
use pai_tests::trace::{Trace, Traced, calls};

/// Runs MEM_READABLE and looks once, at the call with this first argument.
#[track_caller]
fn at_call(which: u64, mut look: impl FnMut(&mut Engine, Pid, [u64; 5])) -> Traced {
    let looks = Cell::new(0);
    let traced = at_tells(fixtures::MEM_READABLE, None, |engine, _, stop| {
        let [first, addresses @ ..] = stop.args;
        if first == which {
            looks.set(looks.get() + 1);
            look(engine, stop.pid, addresses);
        }
    });
    assert_eq!(looks.get(), 1);
    traced
}

fn bad(pid: Pid, addr: u64, done: u64) -> Error {
    Error::BadAddress { pid, addr, done }
}

#[test]
fn pages_are_written_whatever_they_allow() {
    let traced = at_call(
        0x1236,
        |engine, pid, [writable, read_only, executable, ..]| {
            for (addr, text) in [
                (writable, "a tracer"),
                (read_only, "was here"),
                (executable, "and here"),
            ] {
                assert_eq!(engine.write(pid, addr, text.as_bytes()), Ok(()));
                assert_eq!(
                    engine.read(pid, addr, 9),
                    Ok(format!("{text}\0").into_bytes())
                );
            }
            assert_eq!(engine.write(pid, writable, b""), Ok(()));
        },
    );
    traced.expect(
        0,
        "writable: a tracer\nread-only: was here\nexecutable: and here\n",
    );
}

/// What was written before the first page that cannot be is told, and stays.
#[test]
fn a_write_ends_where_memory_ends() {
    let traced = at_call(0x1235, |engine, pid, [text, unmapped, ..]| {
        let until = usize::try_from(unmapped - text).expect("a page");
        let written = vec![b'x'; until + 5];
        let error = bad(pid, unmapped, until as u64);
        assert_eq!(engine.write(pid, text, &written), Err(error));
        assert_eq!(engine.read(pid, text, until), Ok(written[..until].to_vec()));
        for addr in [0, unmapped, 1 << 63, u64::MAX - 3] {
            assert_eq!(engine.write(pid, addr, b"four"), Err(bad(pid, addr, 0)));
        }
        let much = vec![0; MAX_WRITE + 1];
        assert_eq!(
            engine.write(pid, text, &much),
            Err(Error::Limit("write-size"))
        );
        let nobody = Pid::new(1);
        assert_eq!(
            engine.write(nobody, text, b"x"),
            Err(Error::NoSuchProcess(nobody))
        );
    });
    // Each bad address was counted.
    assert_eq!(traced.stats.unexpected, 5);
    assert_eq!(traced.status, Some(pai_engine::ExitStatus::Exited(0)));
}

/// A page that is shared with a file, and that the target may not write to, is
/// nobody's to change.
#[test]
fn shared_pages_are_not_written() {
    let looks = Cell::new(0);
    let traced = Trace::of("/bin/true")
        .client(
            vec![calls(&["exit_group"], true, false)],
            |engine, _, delivery| {
                if let Event::SyscallEnter(stop) = &delivery.event {
                    let maps = engine.maps(stop.pid).expect("it lives");
                    let vvar = maps.iter().find(|map| map.name == "[vvar]");
                    let addr = vvar.expect("the kernel's page").start;
                    assert_eq!(
                        engine.write(stop.pid, addr, b"x"),
                        Err(bad(stop.pid, addr, 0))
                    );
                    looks.set(looks.get() + 1);
                }
                Some(Action::Proceed)
            },
        )
        .run();
    traced.expect(0, "");
    assert_eq!(looks.get(), 1);
}

#[test]
fn patterns_are_found() {
    at_call(
        0x1235,
        |engine, pid, [text, unmapped, _, crossing, open]| {
            let page = 4096;
            // From the page of the first text to the end of the last: five pages, one
            // of them unmapped.
            let start = text / page * page;
            let len = usize::try_from(open + 4 - start).expect("five pages");
            let mut find = |pattern: &[u8], most| engine.find(pid, start, len, pattern, most);
            assert_eq!(find(b"crosses a page border", 9), Ok(vec![crossing]));
            assert_eq!(find(b"page", 9), Ok(vec![text + 14, crossing + 10]));
            assert_eq!(find(b"page", 1), Ok(vec![text + 14]));
            assert_eq!(find(b"page", 0), Ok(vec![]));
            assert_eq!(find(b"open", 9), Ok(vec![open]));
            assert_eq!(find(b"opens", 9), Ok(vec![]));
            assert_eq!(find(b"nowhere to be seen", 9), Ok(vec![]));
            assert_eq!(
                find(b"", 9),
                Err(Error::Invalid("the pattern is empty".into()))
            );
            let long = vec![b'x'; MAX_PATTERN + 1];
            assert_eq!(find(&long, 9), Err(Error::Limit("pattern-size")));
            // They overlap, and none is found across the hole.
            let zeros = engine.find(pid, unmapped + page, 5, &[0, 0], 9);
            let at = |n| unmapped + page + n;
            assert_eq!(zeros, Ok(vec![at(0), at(1), at(2), at(3)]));
            assert_eq!(engine.find(pid, unmapped, 10, b"x", 9), Ok(vec![]));
            assert_eq!(engine.find(pid, u64::MAX - 9, 99, b"x", 9), Ok(vec![]));
            assert_eq!(engine.find(pid, 0, MAX_SEARCH, b"x", 9), Ok(vec![]));
            let much = engine.find(pid, 0, MAX_SEARCH + 1, b"x", 9);
            assert_eq!(much, Err(Error::Limit("search-size")));
        },
    );
}
