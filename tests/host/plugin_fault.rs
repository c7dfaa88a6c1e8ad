//! The plugin fault: calls of real programs that fail.

use serde_json::{Value, json};

use crate::common::{Ran, finish, pai_host, status, stderr, stdout};

/// Status, standard output and standard error.
fn run(options: &[&str], command: &[&str]) -> (i32, String, String) {
    let args = [&["run", "fault"], options, &["--"], command].concat();
    let output = finish(&mut pai_host(&args));
    (status(&output), stdout(&output), stderr(&output))
}

#[test]
fn a_file_that_cannot_be_opened() {
    let options = [
        "--call", "openat", "--path", "*/passwd", "--error", "EACCES",
    ];
    let (status, out, err) = run(&options, &["cat", "/etc/passwd"]);
    assert_eq!((status, out.as_str()), (1, ""));
    assert_eq!(
        err,
        "cat: /etc/passwd: Permission denied\n1 of 1 calls that fit returned EACCES\n"
    );
}

#[test]
fn the_second_write_to_a_descriptor() {
    let options = ["-c", "write", "--fd", "1", "--when", "2", "-e", "ENOSPC"];
    let script = "import os\nfor n in range(4):\n try: os.write(1, b'%d' % n)\n \
        except OSError as error: os.write(2, error.strerror.encode() + b'\\n')";
    let (status, out, err) = run(&options, &["python3", "-c", script]);
    assert_eq!((status, out.as_str()), (0, "023"));
    assert_eq!(
        err,
        "No space left on device\n1 of 4 calls that fit returned ENOSPC\n"
    );
}

#[test]
fn other_results_than_errors() {
    let options = ["-c", "geteuid", "--retval", "4242"];
    let (status, out, err) = run(&options, &["id", "-u"]);
    assert_eq!((status, out.as_str()), (0, "4242\n"));
    assert_eq!(err, "1 of 1 calls that fit returned 4242\n");
}

#[test]
fn every_third_as_json() {
    let script = "import os\nfor n in range(9):\n try: os.close(os.open('/etc/hostname', 0))\n \
        except OSError as error: print(n, error.errno)";
    let mut args = vec!["run", "--json", "fault", "-c", "open,openat", "-w", "2+3"];
    args.extend([
        "--path",
        "/etc/host*",
        "-e",
        "5",
        "--",
        "python3",
        "-c",
        script,
    ]);
    let ran = Ran::of(&args);
    assert_eq!(ran.stdout, "1 5\n4 5\n7 5\n", "{}", ran.stderr);
    let faults: Vec<&Value> = ran.records("fault").map(|line| &line["data"]).collect();
    let numbers: Vec<_> = faults.iter().map(|fault| &fault["number"]).collect();
    assert_eq!(numbers, [&json!(2), &json!(5), &json!(8)]);
    assert_eq!(faults[0]["path"], "/etc/hostname");
    assert_eq!(
        (&faults[0]["syscall"], &faults[0]["ret"]),
        (&json!("openat"), &json!(-5))
    );
    let total = &ran.records("total").next().expect("a total")["data"];
    assert_eq!(*total, json!({"fitting": 9, "changed": 3}));
}

#[test]
fn expressions_of_strace() {
    let script = "import os\nfor n in range(4):\n try: os.write(1, b'%d' % n)\n \
        except OSError as error: os.write(2, error.strerror.encode() + b'\\n')";
    let command = ["python3", "-c", script];
    let pair = [
        "--fd",
        "1",
        "--inject",
        "write:error=EIO",
        "--fault",
        "write:when=2",
    ];
    let (status, out, err) = run(&pair, &command);
    // The last that fits counts.
    assert_eq!((status, out.as_str()), (0, "023"));
    assert_eq!(
        err,
        "Function not implemented\n1 of 4 calls that fit were changed\n"
    );
    let poke = [
        "--fd",
        "1",
        "--inject",
        "write:poke_enter=@arg2=58:delay_exit=1ms",
    ];
    let (status, out, err) = run(&poke, &command);
    assert_eq!((status, out.as_str()), (0, "XXXX"), "{err}");
    assert_eq!(err, "4 of 4 calls that fit were changed\n");
    let quiet = [
        "--quiet", "-c", "write", "--fd", "1", "-e", "EIO", "-w", "1..3",
    ];
    let (status, out, err) = run(&quiet, &command);
    assert_eq!((status, out.as_str()), (0, "3"));
    assert_eq!(err, "Input/output error\n".repeat(3));
}

#[test]
fn the_exec_that_starts_the_target_is_left_alone() {
    let options = ["-c", "execve", "-e", "EACCES"];
    let script = "true; exec /bin/true";
    let (status, _, err) = run(&options, &["sh", "-c", script]);
    assert_eq!(status, 126, "{err}");
    assert!(
        err.ends_with("1 of 1 calls that fit returned EACCES\n"),
        "{err}"
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (options, why) in [
        (&["-e", "EIO"][..], "which calls? see --call and --inject"),
        (
            &["--inject", "close:error=EWHAT"],
            "inject=close:error=EWHAT: \"EWHAT\" is no error",
        ),
        (
            &["-c", "close", "-e", "EIO", "--trace", "clos"],
            "no system call named \"clos\"",
        ),
        (&["-c", "close"], "see --error and --retval"),
        (
            &["-c", "close", "-e", "EIO", "--retval", "1"],
            "see --error and --retval",
        ),
        (&["-c", "close", "-e", "EWHAT"], "\"EWHAT\" is no error"),
        (
            &["-c", "close", "-e", "EIO", "-w", "0"],
            "\"0\" is none of the forms",
        ),
        (
            &["-c", "clos", "-e", "EIO"],
            "no system call named \"clos\"",
        ),
    ] {
        let (status, _, err) = run(options, &["true"]);
        assert_eq!(status, 125, "{err}");
        assert!(err.contains(why), "{why:?} is not in: {err}");
    }
}
