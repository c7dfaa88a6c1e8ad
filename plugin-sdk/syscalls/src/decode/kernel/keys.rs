//! Keys (keyrings(7), keyctl(2), linux/keyctl.h).

use alloc::vec::Vec;

use crate::decode::common::{IOVEC_IN, one_or_decimal};
use crate::decode::schema::{prelude::*, sets};

sets! {
    OPTIONS "KEYCTL_???" {
        KEYCTL_GET_KEYRING_ID = 0, KEYCTL_JOIN_SESSION_KEYRING = 1, KEYCTL_UPDATE = 2,
        KEYCTL_REVOKE = 3, KEYCTL_CHOWN = 4, KEYCTL_SETPERM = 5, KEYCTL_DESCRIBE = 6,
        KEYCTL_CLEAR = 7, KEYCTL_LINK = 8, KEYCTL_UNLINK = 9, KEYCTL_SEARCH = 10,
        KEYCTL_READ = 11, KEYCTL_INSTANTIATE = 12, KEYCTL_NEGATE = 13,
        KEYCTL_SET_REQKEY_KEYRING = 14, KEYCTL_SET_TIMEOUT = 15, KEYCTL_ASSUME_AUTHORITY = 16,
        KEYCTL_GET_SECURITY = 17, KEYCTL_SESSION_TO_PARENT = 18, KEYCTL_REJECT = 19,
        KEYCTL_INSTANTIATE_IOV = 20, KEYCTL_INVALIDATE = 21, KEYCTL_GET_PERSISTENT = 22,
        KEYCTL_DH_COMPUTE = 23, KEYCTL_PKEY_QUERY = 24, KEYCTL_PKEY_ENCRYPT = 25,
        KEYCTL_PKEY_DECRYPT = 26, KEYCTL_PKEY_SIGN = 27, KEYCTL_PKEY_VERIFY = 28,
        KEYCTL_RESTRICT_KEYRING = 29, KEYCTL_MOVE = 30, KEYCTL_CAPABILITIES = 31,
        KEYCTL_WATCH_KEY = 32,
    }
    /// Keyrings that a process has.
    SPECIAL "KEY_SPEC_???" as Decimal {
        KEY_SPEC_THREAD_KEYRING = 0xffff_ffff, KEY_SPEC_PROCESS_KEYRING = 0xffff_fffe,
        KEY_SPEC_SESSION_KEYRING = 0xffff_fffd, KEY_SPEC_USER_KEYRING = 0xffff_fffc,
        KEY_SPEC_USER_SESSION_KEYRING = 0xffff_fffb, KEY_SPEC_GROUP_KEYRING = 0xffff_fffa,
        KEY_SPEC_REQKEY_AUTH_KEY = 0xffff_fff9, KEY_SPEC_REQUESTOR_KEYRING = 0xffff_fff8,
    }
    /// Where request_key(2) links keys.
    DEFAULTS "KEY_REQKEY_DEFL_???" {
        KEY_REQKEY_DEFL_NO_CHANGE = 0xffff_ffff, KEY_REQKEY_DEFL_DEFAULT = 0,
        KEY_REQKEY_DEFL_THREAD_KEYRING = 1, KEY_REQKEY_DEFL_PROCESS_KEYRING = 2,
        KEY_REQKEY_DEFL_SESSION_KEYRING = 3, KEY_REQKEY_DEFL_USER_KEYRING = 4,
        KEY_REQKEY_DEFL_USER_SESSION_KEYRING = 5, KEY_REQKEY_DEFL_GROUP_KEYRING = 6,
        KEY_REQKEY_DEFL_REQUESTOR_KEYRING = 7,
    }
    /// keyutils.h
    PERMISSION_BITS "KEY_???" {
        KEY_POS_VIEW = 0x0100_0000, KEY_POS_READ = 0x0200_0000, KEY_POS_WRITE = 0x0400_0000,
        KEY_POS_SEARCH = 0x0800_0000, KEY_POS_LINK = 0x1000_0000, KEY_POS_SETATTR = 0x2000_0000,
        KEY_USR_VIEW = 0x0001_0000, KEY_USR_READ = 0x0002_0000, KEY_USR_WRITE = 0x0004_0000,
        KEY_USR_SEARCH = 0x0008_0000, KEY_USR_LINK = 0x0010_0000, KEY_USR_SETATTR = 0x0020_0000,
        KEY_GRP_VIEW = 0x0100, KEY_GRP_READ = 0x0200, KEY_GRP_WRITE = 0x0400,
        KEY_GRP_SEARCH = 0x0800, KEY_GRP_LINK = 0x1000, KEY_GRP_SETATTR = 0x2000,
        KEY_OTH_VIEW = 0x01, KEY_OTH_READ = 0x02, KEY_OTH_WRITE = 0x04, KEY_OTH_SEARCH = 0x08,
        KEY_OTH_LINK = 0x10, KEY_OTH_SETATTR = 0x20,
    }
    MOVES "KEYCTL_MOVE_???" { KEYCTL_MOVE_EXCL = 1 }
    CAPABILITIES_0 "KEYCTL_CAPS0_???" {
        KEYCTL_CAPS0_CAPABILITIES = 1, KEYCTL_CAPS0_PERSISTENT_KEYRINGS = 2,
        KEYCTL_CAPS0_DIFFIE_HELLMAN = 4, KEYCTL_CAPS0_PUBLIC_KEY = 8, KEYCTL_CAPS0_BIG_KEY = 16,
        KEYCTL_CAPS0_INVALIDATE = 32, KEYCTL_CAPS0_RESTRICT_KEYRING = 64,
        KEYCTL_CAPS0_MOVE = 128,
    }
    CAPABILITIES_1 "KEYCTL_CAPS1_???" {
        KEYCTL_CAPS1_NS_KEYRING_NAME = 1, KEYCTL_CAPS1_NS_KEY_TAG = 2,
        KEYCTL_CAPS1_NOTIFICATIONS = 4,
    }
}

/// `key_serial_t`: a key, or one of a few keyrings.
pub(super) const SERIAL: Type = Special(serial, 4);

fn serial(view: &View<'_>) -> Value {
    let number = view.raw & 0xffff_ffff;
    match SPECIAL.name(number) {
        Some(_) => Value::One(number, &SPECIAL),
        None => Value::Signed((number as u32).cast_signed().into()),
    }
}

fn keyring(view: &View<'_>) -> Value {
    let number = (view.raw & 0xffff_ffff) as u32;
    one_or_decimal(number.cast_signed().into(), &DEFAULTS)
}

/// Why a key is rejected: an errno.
fn reason(view: &View<'_>) -> Value {
    let number = view.raw & 0xffff_ffff;
    match crate::errno::name(number as u32) {
        Some(name) if number != 0 => Value::Named(number, name.into()),
        _ => Value::Unsigned(number),
    }
}

/// One byte each of the first two, and no others are known.
fn capabilities(view: &View<'_>) -> Value {
    let count = view
        .ret
        .and_then(|ret| usize::try_from(ret).ok())
        .unwrap_or(0);
    let sets = [&CAPABILITIES_0, &CAPABILITIES_1];
    let bytes = view.bytes.iter().take(count).enumerate();
    let items = bytes.map(|(at, byte)| match sets.get(at) {
        Some(set) => Value::Flags((*byte).into(), set),
        None => Value::Hex((*byte).into()),
    });
    Value::Array(crate::decode::Items {
        items: items.collect::<Vec<_>>(),
        more: None,
        missing: false,
    })
}

const CAPABILITIES: Type = Sized(Out, Len::Arg(2), &Special(capabilities, 0));

/// What has been written: as much as there is room for, of what there is.
fn written(view: &View<'_>) -> u64 {
    let ret = view.ret.and_then(|ret| u64::try_from(ret).ok());
    ret.unwrap_or(0).min(view.arg(3))
}

const READ: Type = Bytes(Out, Len::With(written), TEXT);
const PARAMETERS: Type = ADDRESS;

pub(super) fn by_option(view: &View<'_>) -> Option<&'static Call> {
    BY_OPTION.get(view.arg32(0) as usize)
}

const OPTION: Type = one(&OPTIONS);

calls! { BY_OPTION
    keyctl(option: OPTION, arg2: SERIAL, arg3: I32) -> SERIAL;
    keyctl(option: OPTION, arg2: Text) -> SERIAL;
    keyctl(option: OPTION, arg2: SERIAL, arg3: Bytes(In, Len::Arg(3), TEXT), arg4: SIZE) -> I32;
    keyctl(option: OPTION, arg2: SERIAL) -> I32;
    keyctl(option: OPTION, arg2: SERIAL, arg3: UID, arg4: UID) -> I32;
    keyctl(option: OPTION, arg2: SERIAL, arg3: flags(&PERMISSION_BITS)) -> I32;
    keyctl(option: OPTION, arg2: SERIAL, arg3: READ, arg4: SIZE) -> I32;
    keyctl(option: OPTION, arg2: SERIAL) -> I32;
    keyctl(option: OPTION, arg2: SERIAL, arg3: SERIAL) -> I32;
    keyctl(option: OPTION, arg2: SERIAL, arg3: SERIAL) -> I32;
    keyctl(option: OPTION, arg2: SERIAL, arg3: Text, arg4: Text, arg5: SERIAL) -> SERIAL;
    keyctl(option: OPTION, arg2: SERIAL, arg3: READ, arg4: SIZE) -> I32;
    keyctl(option: OPTION, arg2: SERIAL, arg3: Bytes(In, Len::Arg(3), TEXT), arg4: SIZE, arg5: SERIAL) -> I32;
    keyctl(option: OPTION, arg2: SERIAL, arg3: U32, arg4: SERIAL) -> I32;
    keyctl(option: OPTION, arg2: Special(keyring, 4)) -> I32;
    keyctl(option: OPTION, arg2: SERIAL, arg3: U32) -> I32;
    keyctl(option: OPTION, arg2: SERIAL) -> I32;
    keyctl(option: OPTION, arg2: SERIAL, arg3: READ, arg4: SIZE) -> I32;
    keyctl(option: OPTION) -> I32;
    keyctl(option: OPTION, arg2: SERIAL, arg3: U32, arg4: Special(reason, 4), arg5: SERIAL) -> I32;
    keyctl(option: OPTION, arg2: SERIAL, arg3: Array(In, &Struct(&IOVEC_IN), Len::Arg(3)), arg4: SIZE, arg5: SERIAL) -> I32;
    keyctl(option: OPTION, arg2: SERIAL) -> I32;
    keyctl(option: OPTION, arg2: UID, arg3: SERIAL) -> SERIAL;
    keyctl(option: OPTION, arg2: PARAMETERS, arg3: READ, arg4: SIZE, arg5: PARAMETERS) -> I32;
    keyctl(option: OPTION, arg2: SERIAL, arg3: XLONG, arg4: Text, arg5: PARAMETERS) -> I32;
    keyctl(option: OPTION, arg2: PARAMETERS, arg3: Text, arg4: PARAMETERS, arg5: PARAMETERS) -> I32;
    keyctl(option: OPTION, arg2: PARAMETERS, arg3: Text, arg4: PARAMETERS, arg5: PARAMETERS) -> I32;
    keyctl(option: OPTION, arg2: PARAMETERS, arg3: Text, arg4: PARAMETERS, arg5: PARAMETERS) -> I32;
    keyctl(option: OPTION, arg2: PARAMETERS, arg3: Text, arg4: PARAMETERS, arg5: PARAMETERS) -> I32;
    keyctl(option: OPTION, arg2: SERIAL, arg3: Text, arg4: Text) -> I32;
    keyctl(option: OPTION, arg2: SERIAL, arg3: SERIAL, arg4: SERIAL, arg5: flags(&MOVES)) -> I32;
    keyctl(option: OPTION, arg2: CAPABILITIES, arg3: SIZE) -> I32;
}
