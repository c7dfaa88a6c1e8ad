//! The plugin files: bytes by file, through forks, execs and duplicated descriptors.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{Ran, finish, pai_host, status, stderr};

/// A folder with a file of 5000 bytes.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("a"), [b'x'; 5000]).expect("a file");
    folder
}

/// What the plugin says of a file: opens, bytes read, bytes written, errors.
#[track_caller]
fn counts(ran: &Ran, name: &str) -> [u64; 4] {
    let mut files = ran.records("file").map(|line| &line["data"]);
    let file = files.find(|file| file["file"] == name);
    let file = file.unwrap_or_else(|| panic!("no {name}: {}", ran.stderr));
    ["opens", "read", "written", "errors"].map(|key| file[key].as_u64().expect("a number"))
}

fn files(options: &[&str], command: &[&str]) -> Ran {
    let ran = Ran::of(&[&["run", "--json", "files"], options, &["--"], command].concat());
    let total = &ran.records("total").next().expect("a total")["data"];
    assert_eq!(*total, json!({"lost": 0}));
    ran
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

#[test]
fn a_pipeline() {
    let folder = folder();
    let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
    let script =
        "cat \"$0\" | cat > \"$1\"; exec 2>/dev/null; cat \"$1\"/nothing \"$1\" >/dev/null";
    let ran = files(&[], &["sh", "-c", script, text(&a), text(&b)]);
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    assert_eq!(counts(&ran, text(&a)), [1, 5000, 0, 0]);
    assert_eq!(counts(&ran, text(&b)), [2, 5000, 5000, 0]);
    assert_eq!(counts(&ran, "(pipe)"), [0, 5000, 5000, 0]);
    assert_eq!(counts(&ran, &format!("{}/nothing", text(&b))), [0, 0, 0, 1]);
}

#[test]
fn a_table_for_people() {
    let folder = folder();
    let a = folder.path().join("a");
    let output = finish(&mut pai_host(&["run", "files", "--", "cat", text(&a)]));
    let told = stderr(&output);
    assert_eq!(status(&output), 0, "{told}");
    let head = "    opens         read      written   errors file\n\
        --------- ------------ ------------ -------- ----------------\n";
    assert!(told.starts_with(head), "{told}");
    let row = format!("{:>9} {:>12} {:>12} {:>8} {}\n", 1, 5000, "", "", text(&a));
    assert!(told.contains(&row), "{row:?} is not in: {told}");
    let row = format!("{:>9} {:>12} {:>12} {:>8} '(pipe)'\n", "", "", 5000, "");
    assert!(told.contains(&row), "{row:?} is not in: {told}");
}

/// Descriptors are the same file under other numbers, in children and after an exec,
/// unless they are closed there.
#[test]
fn descriptors_are_followed() {
    let folder = folder();
    let script = "import fcntl, os
os.chdir('DIR')
first = os.open('a', os.O_RDONLY)
os.read(first, 1)
second = os.dup(first)
os.close(first)
os.read(second, 10)
third = fcntl.fcntl(second, fcntl.F_DUPFD, 7)
os.read(third, 100)
top = os.open('.', os.O_RDONLY)
made = os.open('b', os.O_WRONLY | os.O_CREAT, dir_fd=top)
os.dup2(made, 8)
os.dup2(second, 9, inheritable=False)
os.pwrite(made, b'12', 0)
if os.fork() == 0:
    os.write(8, b'345')
    os.execvp('sh', ['sh', '-c', 'echo 6789 >&8; cat <&7 >/dev/null'])
os.wait()
try: os.read(made, 1)
except OSError: pass
os.writev(8, [b'x', b'yz'])
one, other = os.pipe()
os.write(other, b'1234')
os.read(one, 3)
os.closerange(3, 100)
again = os.open('/dev/zero', os.O_RDONLY)
os.read(again, 7)
"
    .replace("DIR", text(folder.path()));
    let ran = files(&[], &["python3", "-c", &script]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let file = |name| format!("{}/{name}", text(folder.path()));
    assert_eq!(counts(&ran, &file("a")), [1, 5000, 0, 0]);
    assert_eq!(counts(&ran, &file("b")), [1, 0, 13, 1]);
    assert_eq!(counts(&ran, "(pipe)"), [0, 3, 4, 0]);
    assert_eq!(counts(&ran, "/dev/zero"), [1, 7, 0, 0]);
}

#[test]
fn each_process_apart() {
    let folder = folder();
    let a = folder.path().join("a");
    let script = "cat \"$0\" >/dev/null; read line < \"$0\"; head -c 9 \"$0\" >/dev/null; exit 2";
    let ran = files(&["-p"], &["sh", "-c", script, text(&a)]);
    assert_eq!(ran.status, 2, "{}", ran.stderr);
    let rows: Vec<&Value> = ran.records("file").map(|line| &line["data"]).collect();
    let programs = rows.iter().filter(|row| row["file"] == text(&a));
    let mut programs: Vec<_> = programs
        .map(|row| {
            (
                row["argv"][0].as_str().expect("a name"),
                row["opens"].as_u64(),
            )
        })
        .collect();
    programs.sort_unstable();
    assert_eq!(
        programs,
        [("cat", Some(1)), ("head", Some(1)), ("sh", Some(1))]
    );
}
