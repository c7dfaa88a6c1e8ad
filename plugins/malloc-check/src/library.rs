//! What the C library frees for itself.
//!
//! When a thread ends, glibc frees what the thread has in its cache (tcache): blocks that
//! the program has freed before, and the cache itself, which no call has allocated. Its
//! other calls of free are made for the program (fclose, getline), and their mistakes are
//! the program's.

use std::ops::Range;

use pai_plugin::{Client, FunctionEvent, Module, Pid, Result};

use crate::State;
use crate::report::unless_gone;

/// Functions of the C library; libpthread is part of it (glibc before 2.34).
const ITS_FUNCTIONS: &[&str] = &["__libc_start_main", "pthread_create"];

/// What gives the cache of a thread back, by versions of glibc and by what compilers
/// inline.
const AT_THREAD_END: &[&str] = &[
    "tcache_thread_shutdown",
    "arena_thread_freeres",
    "__malloc_arena_thread_freeres",
    "__libc_thread_freeres",
];

/// Frames of a thread that ends; few are needed.
const MOST_FRAMES: u32 = 64;

/// The C library among these modules. In the executable, where that is linked statically,
/// it cannot be told from the program by its place.
pub(crate) fn find(
    client: &Client<State>,
    pid: Pid,
    modules: &[Module],
) -> Result<Vec<Range<u64>>> {
    let entry = client.entry(pid)?;
    let mut found = Vec::new();
    for name in ITS_FUNCTIONS {
        for symbol in client.functions_in(pid, modules, name)? {
            let ranges = modules.iter().map(|module| module.base..module.end);
            let of_symbol = ranges.filter(|range| range.contains(&symbol.value));
            found.extend(of_symbol.filter(|range| !range.contains(&entry)));
        }
    }
    Ok(found)
}

/// Whether a call of free is the C library's own.
pub(crate) fn is_its_own(client: &Client<State>, call: &FunctionEvent) -> Result<bool> {
    // A function that the program has given it, perhaps free itself, is called by a
    // pointer.
    let direct = client.read_bytes(call.pid, call.caller.saturating_sub(DIRECT), 1);
    if !direct.is_ok_and(|bytes| bytes == [CALL]) {
        return Ok(false);
    }
    let library = client.data().library(call.pid);
    if contains(library, call.caller) {
        // Its symbols are often not there. It is its own when nobody else is in the stack.
        let stack = client.backtrace(call.tid, MOST_FRAMES)?;
        let callers = stack.get(1..).unwrap_or_default();
        return Ok(callers.iter().all(|addr| contains(library, *addr)));
    }
    let caller = unless_gone(client.resolve(call.pid, call.caller.saturating_sub(1)))?;
    let caller = caller.flatten();
    Ok(caller.is_some_and(|at| is_at_thread_end(&at.symbol.name)))
}

/// Opcode of a call by distance, and the length of the instruction.
const CALL: u8 = 0xe8;
const DIRECT: u64 = 5;

/// Compilers add ".part.0" and the like.
fn is_at_thread_end(name: &str) -> bool {
    let plain = name.split('.').next().unwrap_or(name);
    AT_THREAD_END.contains(&plain)
}

fn contains(library: &[Range<u64>], addr: u64) -> bool {
    library.iter().any(|range| range.contains(&addr))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_compilers_make_of_names() {
        assert!(is_at_thread_end("tcache_thread_shutdown.part.0"));
        assert!(is_at_thread_end("__malloc_arena_thread_freeres"));
        assert!(!is_at_thread_end("_IO_new_fclose"));
        assert!(!is_at_thread_end(""));
    }
}
