//! Mounting, and whole file systems.

use super::sets::{
    AT_SETATTR, FSCONFIG, FSMOUNT, FSMOUNT_ATTR, FSOPEN, FSPICK, MOUNT, MOUNT_ATTR, MOUNT_OLD,
    MOVE_MOUNT, OPEN_TREE, PROPAGATION, SWAP, UMOUNT,
};
use crate::decode::common::{bounded, grown, rest, whole};
use crate::decode::schema::prelude::*;

const ATTRIBUTES: Type = Scalar(W64, Style::Flags(&MOUNT_ATTR));

structs! {
    /// mount_setattr(2), linux/mount.h
    SET_ATTR "mount_attr" (grown) {
        attr_set: ATTRIBUTES, attr_clr: ATTRIBUTES,
        propagation: Scalar(W64, Style::One(&PROPAGATION)), userns_fd: Pick(user_namespace, 8), rest: rest::<4>(),
    }
}

/// Of no meaning without a mapping of users, and no descriptor if it is none.
fn user_namespace(view: &View<'_>) -> &'static Type {
    const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;
    let is_mapped = view.field("attr_set").unwrap_or(0) & MOUNT_ATTR_IDMAP != 0;
    let number = view.number(0, W64).and_then(|fd| i32::try_from(fd).ok());
    match number.filter(|_| is_mapped) {
        None => &U64,
        Some(_) => const { &Scalar(W64, Style::Fd) },
    }
}

/// mount(2): flags without the magic number that was in front of them once.
fn mount_flags_of(flags: u64) -> u64 {
    const MAGIC: u64 = 0xc0ed_0000;
    match flags & 0xffff_0000 {
        MAGIC => flags & 0xffff,
        _ => flags,
    }
}

fn mount_flags(view: &View<'_>) -> &'static Type {
    match mount_flags_of(view.raw) == view.raw {
        true => const { &long_flags(&MOUNT) },
        false => const { &flags(&MOUNT_OLD) },
    }
}

const MS_REMOUNT: u64 = 0x20;
/// `MS_BIND`, `MS_MOVE`, and those that change how mounts propagate.
const NOT_NEW: u64 = 0x1000 | 0x2000 | 0x2_0000 | 0x4_0000 | 0x8_0000 | 0x10_0000;

/// The type is ignored where nothing new is mounted.
fn mount_type(view: &View<'_>) -> &'static Type {
    match mount_flags_of(view.arg(3)) & (MS_REMOUNT | NOT_NEW) {
        0 => &Text,
        _ => &ADDRESS,
    }
}

fn mount_data(view: &View<'_>) -> &'static Type {
    let flags = mount_flags_of(view.arg(3));
    match flags & MS_REMOUNT != 0 || flags & NOT_NEW == 0 {
        true => &Text,
        false => &ADDRESS,
    }
}

/// swapon(2): flags and a priority, as in `SWAP_FLAG_PREFER|5`.
fn swap_flags(view: &View<'_>) -> Value {
    const PRIORITY: u64 = 0x7fff;
    let all = view.raw & 0xffff_ffff;
    let priority = all & PRIORITY;
    match all & !PRIORITY {
        0 => Value::Unsigned(priority),
        flags => {
            let parts = [Value::Flags(flags, &SWAP), Value::Unsigned(priority)];
            Value::Parts(all, parts.into())
        }
    }
}

const VERSION_0: u64 = 32;

fn attr(view: &View<'_>) -> &'static Type {
    match view.arg(4) < VERSION_0 {
        true => &ADDRESS,
        false => {
            const {
                &Then(
                    &Sized(In, Len::With(bounded::<4>), &Struct(&SET_ATTR)),
                    whole,
                )
            }
        }
    }
}

/// fsconfig(2): what the key is, by command.
fn config_key(view: &View<'_>) -> &'static Type {
    match view.arg32(1) {
        0..=5 => &Text,
        _ => &ADDRESS,
    }
}

fn config_value(view: &View<'_>) -> &'static Type {
    match view.arg32(1) {
        1 => &Text,
        2 if view.arg32(4).cast_signed() >= 0 => {
            const { &Bytes(In, Len::With(config_size), Look::Hex) }
        }
        3 | 4 => &Path,
        _ => &ADDRESS,
    }
}

fn config_size(view: &View<'_>) -> u64 {
    view.arg32(4).into()
}

fn config_aux(view: &View<'_>) -> &'static Type {
    match view.arg32(1) {
        3 | 4 => &DIRFD,
        5 => &FD,
        _ => &I32,
    }
}

calls! { CALLS
    mount(dev_name: Path, dir_name: Path, r#type: Pick(mount_type, 0),
        flags: Pick(mount_flags, 0), data: Pick(mount_data, 0)) -> I32;
    umount(name: Path) -> I32;
    umount2(name: Path, flags: flags(&UMOUNT)) -> I32;
    pivot_root(new_root: Path, put_old: Path) -> I32;
    swapon(specialfile: Path, swap_flags: Special(swap_flags, 0)) -> I32;
    swapoff(specialfile: Path) -> I32;
    acct(name: Path) -> I32;
    vhangup() -> I32;
    uselib(library: Path) -> I32;
    sysfs(option: XLONG, arg1: XLONG, arg2: XLONG) -> LONG;
    nfsservctl(cmd: XLONG, argp: XLONG, resp: XLONG) -> LONG;
    lookup_dcookie(cookie64: U64, buf: Bytes(Out, Len::Ret, TEXT), len: SIZE) -> LONG;

    open_tree(dfd: DIRFD, filename: Path, flags: flags(&OPEN_TREE)) -> FD;
    open_tree_attr(dfd: DIRFD, filename: Path, flags: flags(&OPEN_TREE), uattr: Pick(attr, 0),
        usize: SIZE) -> FD;
    move_mount(from_dfd: DIRFD, from_pathname: Path, to_dfd: DIRFD, to_pathname: Path,
        flags: flags(&MOVE_MOUNT)) -> I32;
    fsopen(_fs_name: Text, flags: flags(&FSOPEN)) -> FD;
    fsconfig(fd: FD, cmd: one(&FSCONFIG), _key: Pick(config_key, 0), _value: Pick(config_value, 0),
        aux: Pick(config_aux, 0)) -> I32;
    fsmount(fs_fd: FD, flags: flags(&FSMOUNT), attr_flags: flags(&FSMOUNT_ATTR)) -> FD;
    fspick(dfd: DIRFD, path: Path, flags: flags(&FSPICK)) -> FD;
    mount_setattr(dfd: DIRFD, path: Path, flags: flags(&AT_SETATTR), uattr: Pick(attr, 0),
        usize: SIZE) -> I32;
}
