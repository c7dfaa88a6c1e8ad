//! What is compared.

use pai_tests::fixtures;

/// A program to run in a folder of its own: options of strace, what makes the folder,
/// the command. `PORT` in it is that of a server.
pub(super) struct Case<'a> {
    pub(super) name: &'a str,
    pub(super) options: &'a [&'a str],
    pub(super) prepare: &'a str,
    pub(super) command: &'a [&'a str],
}

const fn case(
    name: &'static str,
    options: &'static [&'static str],
    prepare: &'static str,
    command: &'static [&'static str],
) -> Case<'static> {
    Case {
        name,
        options,
        prepare,
        command,
    }
}

const TREE: &str = "mkdir -p a/b/c && for n in 1 2 3; do echo $n > a/b/file$n; done && \
                    ln -s file1 a/b/link && printf 'int main(void){return 0;}' > one.c";

const LS: &[&str] = &["ls", "-lR", "."];
const CAT: &[&str] = &["cat", "one.c", "nothing"];
/// One child after the other: of two that end, SIGCHLD may tell at once.
const SH: &[&str] = &["sh", "-c", "tr 1 2 <a/b/file1; (exit 3); kill -USR1 $$"];
const CURL: &[&str] = &["curl", "-sS", "http://127.0.0.1:PORT/"];
/// Addresses are the same in every run.
const FIXED: &[&str] = &["setarch", "x86_64", "-R", "cat", "one.c"];

const PROGRAMS: &[Case<'static>] = &[
    case("ls", &[], TREE, LS),
    case("cp", &[], TREE, &["cp", "-a", "a", "copy"]),
    case("tar", &[], TREE, &["tar", "cf", "all.tar", "a"]),
    case("find", &[], TREE, &["find", ".", "-name", "file*"]),
    case("dd", &[], TREE, &["dd", "if=one.c", "of=two.c", "bs=5"]),
    case(
        "python3",
        &[],
        TREE,
        &[
            "/usr/bin/python3",
            "-c",
            "import os; print(os.listdir('a'))",
        ],
    ),
    case("sh", &[], TREE, SH),
    case("gcc", &[], TREE, &["gcc", "-c", "one.c"]),
    case(
        "git",
        &[],
        "git init -q from && cd from && echo x > y && git add y && \
         git -c user.name=n -c user.email=e commit -qm m",
        &["git", "clone", "-q", "from", "to"],
    ),
    case(
        "sqlite3",
        &[],
        TREE,
        &[
            "sqlite3",
            "new.db",
            "create table t(a); insert into t values(1);",
        ],
    ),
    case(
        "ssh-keygen",
        &[],
        TREE,
        &["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key"],
    ),
    case("ip", &[], TREE, &["ip", "link"]),
    case(
        "mount",
        &[],
        "mkdir m",
        &["unshare", "-m", "mount", "-t", "tmpfs", "none", "m"],
    ),
    case("curl", &[], TREE, CURL),
];

const OPTIONS: &[Case<'static>] = &[
    case("verbose", &["-v"], TREE, &["ls", "-l", "a/b"]),
    case("descriptors", &["-y"], TREE, &["cat", "a/b/file1"]),
    case(
        "details",
        &["-yy"],
        TREE,
        &["cat", "a/b/file1", "/dev/null"],
    ),
    case("details of sockets", &["-yy"], TREE, CURL),
    case("files", &["-e", "trace=%file"], TREE, &["ls", "a"]),
    case("net", &["-e", "trace=%net"], TREE, CURL),
    case("all but", &["-e", "trace=!mmap,%file"], TREE, LS),
    case("expression", &["-e", "/^(open|read)"], TREE, LS),
    case("hexadecimal", &["-x", "-s", "64"], TREE, CAT),
    case("all hexadecimal", &["-xx"], TREE, CAT),
    case("no text", &["-s", "0"], TREE, CAT),
    case("numbers", &["-X", "raw", "-n"], TREE, CAT),
    case("names and numbers", &["-X", "verbose"], TREE, CAT),
    case("raw", &["-e", "raw=read,openat"], TREE, CAT),
    case(
        "addresses",
        &["-e", "verbose=none"],
        TREE,
        &["ls", "-l", "a"],
    ),
    case("failures", &["-Z"], TREE, &["ls", "nothing"]),
    case("successes", &["-z"], TREE, &["ls", "nothing"]),
    case("status", &["-e", "status=failed"], TREE, CAT),
    case("unfinished", &["-e", "status=unfinished"], TREE, CAT),
    case(
        "path",
        &["-P", "/etc/passwd"],
        TREE,
        &["cat", "/etc/passwd"],
    ),
    case("times of calls", &["-T"], TREE, CAT),
    case("seconds", &["-t"], TREE, CAT),
    case("microseconds", &["-tt"], TREE, CAT),
    case("since 1970", &["-ttt"], TREE, CAT),
    case("relative", &["-r"], TREE, CAT),
    case("instruction pointers", &["-i"], TREE, FIXED),
    case("what is read", &["-e", "read=3"], TREE, CAT),
    case("what is written", &["-e", "write=1,2"], TREE, CAT),
    case("no signals", &["-e", "signal=none"], TREE, SH),
    case("some signals", &["-e", "signal=!SIGCHLD"], TREE, SH),
    case("quiet", &["-qq"], TREE, SH),
];

/// Calls that no program above makes, in all their forms.
const FIXTURES: &[Case<'static>] = &[
    case("restarts", RESTARTS, TREE, &[fixtures::RESTART_SYSCALL]),
    case("calls in calls", &[], TREE, &[fixtures::DECODE_CALLS_32]),
    case("newer calls", &[], TREE, &[fixtures::DECODE_NEWER]),
    case("newer files", &[], TREE, &[fixtures::DECODE_FILES_NEW]),
    case(
        "modules of security",
        &["-v"],
        TREE,
        &[fixtures::DECODE_LSM],
    ),
];

/// Programs that make the same calls in every run, but for how a shell waits.
pub(super) const SAME_CALLS: &[Case<'static>] = &[
    case("ls", &[], TREE, &[FIX, X86, NOT_RANDOM, "ls", "-lR", "."]),
    case(
        "tar",
        &[],
        TREE,
        &[FIX, X86, NOT_RANDOM, "tar", "cf", "all.tar", "a"],
    ),
    case(
        "find",
        &[],
        TREE,
        &[FIX, X86, NOT_RANDOM, "find", ".", "-name", "file*"],
    ),
    case(
        "python3",
        &[],
        TREE,
        &[
            FIX,
            X86,
            NOT_RANDOM,
            "/usr/bin/python3",
            "-c",
            "import json, os; os.listdir('a')",
        ],
    ),
    case(
        "sh",
        &[],
        TREE,
        &[
            FIX,
            X86,
            NOT_RANDOM,
            "sh",
            "-c",
            "cat a/b/file1 | tr 1 2; ls a | cat; (exit 3)",
        ],
    ),
    case(
        "gcc",
        &[],
        TREE,
        &[FIX, X86, NOT_RANDOM, "gcc", "-c", "one.c"],
    ),
];

/// Its parent does nothing else but look whether it sleeps, again and again.
const RESTARTS: &[&str] = &["-e", "trace=clock_nanosleep,poll,futex,restart_syscall"];

const FIX: &str = "setarch";
const X86: &str = "x86_64";
const NOT_RANDOM: &str = "-R";

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Case<'static>> {
    PROGRAMS.iter().chain(OPTIONS).chain(FIXTURES)
}
