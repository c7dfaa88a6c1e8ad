//! How many arguments the kernel reads for each system call.
//!
//! The list of arguments covers most of x86_64. The tables below add what it
//! lacks and where i386 differs, each row with its source: a page of section 2
//! of the manual unless something else is named.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::{Abi, Calls, for_each_row};

/// No call takes more: there are six argument registers (syscall(2)).
const MOST: u8 = 6;

/// x86_64 calls whose arguments the list does not know.
///
/// Some are gone from newer kernels.
const UNLISTED: &[(&str, u8)] = &[
    ("_sysctl", 1),          // sysctl(2)
    ("create_module", 2),    // create_module(2)
    ("delete_module", 2),    // delete_module(2)
    ("finit_module", 3),     // init_module(2)
    ("get_kernel_syms", 1),  // get_kernel_syms(2)
    ("get_thread_area", 1),  // set_thread_area(2)
    ("init_module", 3),      // init_module(2)
    ("kexec_file_load", 5),  // kexec_load(2)
    ("kexec_load", 4),       // kexec_load(2)
    ("listns", 4),           // Linux 6.19, commit "nstree: add listns()"
    ("lookup_dcookie", 3),   // lookup_dcookie(2)
    ("map_shadow_stack", 3), // Linux 6.6, commit "x86/shstk: Introduce map_shadow_stack syscall"
    ("nfsservctl", 3),       // nfsservctl(2)
    ("query_module", 5),     // query_module(2)
    ("rseq_slice_yield", 0), // Linux 7.0, commit "rseq: Implement sys_rseq_slice_yield()"
    ("set_thread_area", 1),  // set_thread_area(2)
    ("uselib", 1),           // uselib(2)
];

/// Calls of any ABI that were never implemented, so that no argument means
/// anything: unimplemented(2), and epoll's two drafts, which have no page.
const UNIMPLEMENTED: &[&str] = &[
    "afs_syscall",
    "break",
    "epoll_ctl_old",
    "epoll_wait_old",
    "ftime",
    "getpmsg",
    "gtty",
    "lock",
    "mpx",
    "prof",
    "profil",
    "putpmsg",
    "security",
    "stty",
    "tuxcall",
    "ulimit",
    "vserver",
];

/// i386 calls that x86_64 does not have or that take another number of arguments
/// there.
///
/// A 64-bit value takes two registers (syscall(2), "Architecture-specific
/// requirements").
const ON_I386: &[(&str, u8)] = &[
    ("_llseek", 5),         // _llseek(2)
    ("_newselect", 5),      // select(2)
    ("bdflush", 2),         // bdflush(2)
    ("fadvise64", 5),       // posix_fadvise(2): the offset is split, the length is not
    ("fadvise64_64", 6),    // posix_fadvise(2): both are split
    ("fallocate", 6),       // fallocate(2): offset and length are split
    ("fanotify_mark", 6),   // fanotify_mark(2): the mask is split
    ("fstatat64", 4),       // stat(2)
    ("fstatfs64", 3),       // statfs(2), with the size of the buffer
    ("ftruncate64", 3),     // truncate(2): the length is split
    ("idle", 0),            // idle(2)
    ("ipc", 6),             // ipc(2)
    ("lookup_dcookie", 4),  // lookup_dcookie(2): the cookie is split
    ("mmap", 1),            // mmap2(2): a structure with the six arguments
    ("mmap2", 6),           // mmap2(2)
    ("nice", 1),            // nice(2)
    ("oldfstat", 2),        // stat(2)
    ("oldlstat", 2),        // stat(2)
    ("oldolduname", 1),     // uname(2)
    ("oldstat", 2),         // stat(2)
    ("olduname", 1),        // uname(2)
    ("pread64", 5),         // pread(2): the offset is split
    ("pwrite64", 5),        // pread(2): the offset is split
    ("readahead", 4),       // readahead(2): the offset is split
    ("readdir", 3),         // readdir(2)
    ("select", 1),          // select(2): a structure with the five arguments
    ("sgetmask", 0),        // sgetmask(2)
    ("sigaction", 3),       // sigaction(2)
    ("signal", 2),          // signal(2)
    ("sigpending", 1),      // sigpending(2)
    ("sigprocmask", 3),     // sigprocmask(2)
    ("sigreturn", 0),       // sigreturn(2)
    ("sigsuspend", 3),      // two unused, then the mask: CONFIG_OLD_SIGSUSPEND3
    ("socketcall", 2),      // socketcall(2)
    ("ssetmask", 1),        // sgetmask(2)
    ("statfs64", 3),        // statfs(2), with the size of the buffer
    ("stime", 1),           // stime(2)
    ("sync_file_range", 6), // sync_file_range(2): offset and length are split
    ("truncate64", 3),      // truncate(2): the length is split
    ("ugetrlimit", 2),      // getrlimit(2)
    ("umount", 1),          // umount(2)
    ("vm86", 2),            // vm86(2)
    ("vm86old", 1),         // vm86(2)
    ("waitpid", 3),         // waitpid(2)
];

/// Suffixes of i386 calls that differ from the one without only in the width of
/// a type, not in the number of arguments. [`ON_I386`] has the exceptions.
const WIDTHS: &[&str] = &["_time64", "64", "32"];

/// Argument counts by name.
#[derive(Debug)]
pub(super) struct Arguments {
    x86_64: BTreeMap<String, Option<u8>>,
}

impl Arguments {
    /// Reads the list of arguments, and makes sure that it and the tables of this
    /// file cover every call of `numbers`, each exactly once.
    pub(super) fn read(path: &Path, numbers: &[Calls; 3]) -> Result<Self> {
        let [x86_64, i386, _] = numbers;
        let mut listed = BTreeMap::new();
        for_each_row(path, |columns| {
            let [number, name, arguments @ ..] = columns else {
                bail!("a number and a name start a row");
            };
            let known = number.parse().ok().and_then(|number| x86_64.get(&number));
            ensure!(
                known.is_some_and(|known| known == name),
                "x86_64 {number} is not {name}"
            );
            let count = if arguments == ["?"] {
                unlisted(name)?
            } else {
                Some(u8::try_from(arguments.len())?)
            };
            ensure!(
                count.is_none_or(|count| count <= MOST),
                "too many arguments"
            );
            listed.insert((*name).to_owned(), count);
            Ok(())
        })?;
        ensure!(listed.len() == x86_64.len(), "a call is missing");

        for (name, _) in ON_I386 {
            ensure!(
                i386.values().any(|known| known == name),
                "i386 has no {name}"
            );
        }
        let arguments = Self { x86_64: listed };
        for (abi, calls) in Abi::ALL.iter().zip(numbers) {
            for name in calls.values() {
                let count = arguments.count(*abi, name);
                ensure!(
                    count.is_some() != UNIMPLEMENTED.contains(&name.as_str()),
                    "{} {name}: is it unimplemented, or how many arguments has it?",
                    abi.name()
                );
            }
        }
        Ok(arguments)
    }

    /// How many arguments a call takes, `None` if it is unimplemented.
    ///
    /// aarch64 needs no corrections: it has no call that x86_64 lacks, and gives
    /// none of them another number of arguments.
    pub(super) fn count(&self, abi: Abi, name: &str) -> Option<u8> {
        if abi == Abi::I386 {
            return find(ON_I386, name)
                .or_else(|| self.on_x86_64(name))
                .or_else(|| {
                    WIDTHS
                        .iter()
                        .find_map(|width| self.on_x86_64(name.strip_suffix(width)?))
                });
        }
        self.on_x86_64(name)
    }

    fn on_x86_64(&self, name: &str) -> Option<u8> {
        *self.x86_64.get(name)?
    }
}

/// The count of a call that the list does not know.
fn unlisted(name: &str) -> Result<Option<u8>> {
    if UNIMPLEMENTED.contains(&name) {
        return Ok(None);
    }
    find(UNLISTED, name)
        .map(Some)
        .context("unknown arguments: add the call to UNLISTED or UNIMPLEMENTED")
}

fn find(table: &[(&str, u8)], name: &str) -> Option<u8> {
    let (_, count) = table.iter().find(|(known, _)| *known == name)?;
    Some(*count)
}
