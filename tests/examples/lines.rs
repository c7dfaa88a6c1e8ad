//! `lines [-v] PROGRAM [ARG...]`: what descriptions make of a program's calls, beside
//! what strace does,
//!
//! Lines of ours start with `+`, those of strace with `-`, those of both with a space,
//! after addresses and ids of processes have been replaced.

#![expect(clippy::print_stdout, reason = "a command line program")]

use std::path::Path;

use pai_syscalls::decode::Limits;
use pai_syscalls::decode::text::Style;
use pai_tests::lines;

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let verbose = args.first().is_some_and(|arg| arg == "-v");
    if verbose {
        args.remove(0);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let Some((program, args)) = args.split_first() else {
        println!("usage: lines [-v] PROGRAM [ARG...]");
        return;
    };
    let style = Style {
        verbose,
        interface: Some(&lines::interface),
        ..Style::default()
    };
    let options: &[&str] = if verbose { &["-v"] } else { &[] };
    let mut limits = Limits::default();
    if verbose {
        limits.items = Limits::ALL;
    }
    let ours = lines::of(Path::new(program), args, limits, style);
    let theirs = lines::by_strace(Path::new(program), args, options);
    // The first is the execve(2) of the program itself, which is not started in quite
    // the same way.
    let (ours, theirs) = (
        ours.get(1..).unwrap_or_default(),
        theirs.get(1..).unwrap_or_default(),
    );
    for change in lines::compare(ours, theirs) {
        println!("{change}");
    }
}
