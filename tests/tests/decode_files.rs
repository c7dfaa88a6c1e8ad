//! Calls on files, as strace shows them.

use std::path::Path;

use pai_syscalls::decode::Limits;
use pai_syscalls::decode::text::Style;
use pai_tests::fixtures;
use pai_tests::lines::{self, assert_same};

/// With and without everything (`strace -v`).
#[track_caller]
fn assert_both(fixture: &str) {
    assert_same(fixture, &[], false);
    assert_same(fixture, &[], true);
}

#[test]
fn files() {
    assert_both(fixtures::DECODE_FILES);
}

#[test]
fn opens_and_descriptors() {
    assert_both(fixtures::DECODE_OPEN);
}

#[test]
fn memory_that_may_not_be_used() {
    assert_both(fixtures::DECODE_PROTECTED);
}

#[test]
fn working_directories() {
    assert_both(fixtures::DECODE_FDCWD);
}

#[test]
fn reads_and_writes() {
    assert_both(fixtures::DECODE_IO);
}

#[test]
fn what_files_are_like() {
    assert_both(fixtures::DECODE_STAT);
}

#[test]
fn names() {
    assert_both(fixtures::DECODE_NAMES);
}

#[test]
fn directories() {
    assert_both(fixtures::DECODE_DENTS);
}

#[test]
fn commands_of_fcntl() {
    assert_both(fixtures::DECODE_FCNTL);
}

#[test]
fn attributes_handles_and_watches() {
    assert_both(fixtures::DECODE_XATTR);
}

#[test]
fn mounts_and_quotas() {
    assert_both(fixtures::DECODE_MOUNTS);
}

#[test]
fn calls_of_32_bits() {
    assert_both(fixtures::DECODE_FILES_32);
}

/// What strace 6.1 does not know. The id of a mount, which differs, is `0xID`.
const NEW: &str = r#"
cachestat(3, {off=0, len=4096}, {nr_cache=1, nr_dirty=0, nr_writeback=0, nr_evicted=0, nr_recently_evicted=0}, 0) = 0
cachestat(-1, {off=0, len=4096}, 0x10, 0x1) = -1 EBADF (Bad file descriptor)
cachestat(-1, NULL, NULL, 0xffffffff) = -1 EBADF (Bad file descriptor)
cachestat(-1, 0x10, 0xADDR, 0) = -1 EBADF (Bad file descriptor)
fchmodat2(AT_FDCWD, "/nowhere/1", 0644, AT_SYMLINK_NOFOLLOW) = -1 ENOENT (No such file or directory)
fchmodat2(-1, 0x10, 04000, AT_SYMLINK_NOFOLLOW|AT_REMOVEDIR|AT_SYMLINK_FOLLOW|AT_NO_AUTOMOUNT|AT_EMPTY_PATH|AT_RECURSIVE|0xffff60ff) = -1 EINVAL (Invalid argument)
setxattrat(3, "", AT_EMPTY_PATH, "user.x", {value="value", size=5, flags=XATTR_CREATE}, 16) = 0
setxattrat(-1, "x", AT_SYMLINK_NOFOLLOW, "user.x", {value="value", size=5, flags=XATTR_CREATE}, 16) = -1 EBADF (Bad file descriptor)
setxattrat(-1, "x", AT_SYMLINK_NOFOLLOW|AT_EMPTY_PATH|0xffffeeff, 0x10, 0xADDR, 15) = -1 EINVAL (Invalid argument)
setxattrat(-1, NULL, 0, NULL, 0x10, 16) = -1 EFAULT (Bad address)
getxattrat(3, "", AT_EMPTY_PATH, "user.x", {value="value", size=100, flags=0}, 16) = 5
getxattrat(3, "", AT_EMPTY_PATH, "user.none", {value=0xADDR, size=100, flags=0}, 16) = -1 ENODATA (No data available)
getxattrat(3, "", AT_EMPTY_PATH, "user.x", {value=NULL, size=0, flags=0}, 16) = 5
listxattrat(3, "", AT_EMPTY_PATH, "user.x\0", 100) = 7
listxattrat(3, "", AT_EMPTY_PATH, NULL, 0) = 7
removexattrat(3, "", AT_EMPTY_PATH, "user.x") = 0
removexattrat(-1, 0x10, 0, 0x10) = -1 EFAULT (Bad address)
file_getattr(-1, "x", 0xADDR, 24, 0) = -1 EBADF (Bad file descriptor)
file_setattr(-1, "x", {fa_xflags=FS_XFLAG_IMMUTABLE|FS_XFLAG_APPEND|FS_XFLAG_HASATTR, fa_extsize=1, fa_nextents=2, fa_projid=3, fa_cowextsize=4}, 24, AT_SYMLINK_NOFOLLOW) = -1 EBADF (Bad file descriptor)
file_setattr(-1, NULL, 0xADDR, 23, 0) = -1 EINVAL (Invalid argument)
file_setattr(-1, NULL, 0x10, 24, 0x1 /* AT_??? */) = -1 EINVAL (Invalid argument)
open_tree_attr(-1, "x", OPEN_TREE_CLONE, {attr_set=MOUNT_ATTR_RDONLY, attr_clr=MOUNT_ATTR_NOATIME, propagation=MS_PRIVATE, userns_fd=5}, 32) = -1 EBADF (Bad file descriptor)
open_tree_attr(-1, 0x10, AT_RECURSIVE, NULL, 0) = -1 EINVAL (Invalid argument)
statmount({size=24, mnt_id=0xID, param=STATMOUNT_MNT_POINT|STATMOUNT_FS_TYPE}, {size=528, mask=STATMOUNT_MNT_POINT|STATMOUNT_FS_TYPE, fs_type="tmpfs", mnt_point="/dev/shm"}, 4096, 0) = 0
statmount({size=24, mnt_id=0x5, param=STATMOUNT_MNT_POINT|STATMOUNT_FS_TYPE}, 0xADDR, 512, 0) = -1 EINVAL (Invalid argument)
statmount({size=32, mnt_id=0x5, param=STATMOUNT_SB_BASIC|0x8000, mnt_ns_id=0x7}, 0x10, 512, 0x1) = -1 EINVAL (Invalid argument)
statmount(NULL, 0x10, 512, 0) = -1 EFAULT (Bad address)
listmount({size=24, mnt_id=LSMT_ROOT, param=0}, 0x10, 4, LISTMOUNT_REVERSE) = -1 EFAULT (Bad address)
listmount({size=24, mnt_id=LSMT_ROOT, param=0xfffffffffffffffb}, NULL, 0, 0x2 /* LISTMOUNT_??? */) = -1 EINVAL (Invalid argument)
listmount(0x10, NULL, 0, 0) = -1 EFAULT (Bad address)
fcntl(3, F_SET_RW_HINT, [RWH_WRITE_LIFE_SHORT]) = 0
fcntl(3, F_GET_RW_HINT, [RWH_WRITE_LIFE_SHORT]) = 0
fcntl(3, F_SET_RW_HINT, [0x9 /* RWH_??? */]) = -1 EINVAL (Invalid argument)
fcntl(-1, F_SET_FILE_RW_HINT, NULL) = -1 EBADF (Bad file descriptor)
fcntl(-1, F_GET_FILE_RW_HINT, 0xADDR) = -1 EBADF (Bad file descriptor)
fcntl(3, F_DUPFD_QUERY, 3) = 1
fcntl(3, F_CREATED_QUERY) = 0
"#;

#[test]
fn calls_that_are_newer() {
    let program = Path::new(fixtures::DECODE_FILES_NEW);
    let ours = lines::of(program, &[], Limits::default(), Style::default());
    let mark = ours
        .iter()
        .position(|line| line.starts_with("getpriority("));
    let ours = &ours[mark.expect("a mark") + 1..];
    if ours.iter().any(|line| line.contains("ENOSYS")) {
        eprintln!("skip: this kernel does not have all of these calls");
        return;
    }
    let ours: Vec<String> = ours
        .iter()
        .filter(|line| !line.starts_with("exit_group("))
        .map(|line| match line.split_once("mnt_id=0x8") {
            Some((before, id)) => {
                let rest = id.trim_start_matches(|c: char| c.is_ascii_hexdigit());
                format!("{before}mnt_id=0xID{rest}")
            }
            None => line.clone(),
        })
        .collect();
    let expected: Vec<String> = NEW.trim().lines().map(str::to_owned).collect();
    assert_eq!(ours, expected);
}
