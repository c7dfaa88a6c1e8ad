//! Paths of the C fixtures, one constant per file of `fixtures/`.
//!
//! A constant is named after its file, in upper case: `fixtures/exit_code.c` is
//! `EXIT_CODE`. The comment at the head of each file is its contract: its arguments, what
//! a tracer must see and in which order, which outcomes of a race are legal, and the
//! standard output and exit status of an undisturbed run. A fixture that notices a
//! disturbance prints `FAIL: what` and exits with 1; one that cannot run on this machine
//! prints `skip: why` and exits with 77.

include!(concat!(env!("OUT_DIR"), "/fixtures.rs"));
