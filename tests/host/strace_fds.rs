//! What `-y`, `-yy` and `-P` make of file descriptors, beyond what each call shows
//! (like_strace/descriptors.rs).

use pai_tests::fixtures;

use crate::strace_options::assert_same_lines;

const SHELL: &[&str] = &["sh", "-c", "echo hi >/dev/null"];

/// Not as the call has made them.
#[test]
fn arguments_are_named_as_they_were_at_the_entry() {
    let calls = ["-y", "-e", "trace=dup2,close,fcntl"];
    let quiet = ["sh", "-c", "exec >/dev/zero; echo hi >/dev/null"];
    // Standard output is a pipe, with another number in every run.
    assert_same_lines(&[&calls[..], &["-P", "/dev/zero"]].concat(), &quiet);
    assert_same_lines(&[&calls[..], &["-P", "/dev/null"]].concat(), &quiet);
    assert_same_lines(&["-P", "/dev/null"], SHELL);
}

#[test]
fn paths_are_found_behind_descriptors() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let here = folder.path().to_str().expect("a plain path");
    let command = format!("cd {here} && exec {}", fixtures::DESCRIPTOR_NAMES);
    let command = ["sh", "-c", &command];
    for path in ["/dev/null", &format!("{here}/one"), "/memfd:a<b>"] {
        // Of FICLONE more is known here than there.
        let options = ["-P", path, "-e", "signal=none", "-e", "trace=!ioctl"];
        assert_same_lines(&options, &command);
    }
}

#[test]
fn names_are_in_hexadecimal_too() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let here = folder.path().to_str().expect("a plain path");
    let command = format!("cd {here} && exec {}", fixtures::DESCRIPTOR_NAMES);
    // Only those without numbers that differ from run to run.
    let calls = "trace=openat,dup2,memfd_create";
    for hex in ["-x", "-xx", "--strings-in-hex=non-ascii-chars"] {
        let options = ["-y", hex, "-e", calls];
        assert_same_lines(&options, &["sh", "-c", &command]);
    }
}
