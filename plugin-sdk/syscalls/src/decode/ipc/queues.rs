//! POSIX message queues: mq_overview(7), linux/mqueue.h.

use crate::decode::common::{TIMESPEC_IN, TIMESPEC64_IN};
use crate::decode::files::sets::OPEN;
use crate::decode::schema::prelude::*;
use crate::decode::times::SIGEVENT_IN;

use super::structs::{MQ_ATTR, NEW_MQ_ATTR};

const O_CREAT: u64 = 0o100;

/// Only a queue that is made has permissions and attributes.
fn open_mode(view: &View<'_>) -> &'static Type {
    match view.arg(1) & O_CREAT {
        0 => &Absent,
        _ => &PERMISSIONS,
    }
}

fn open_attributes(view: &View<'_>) -> &'static Type {
    match view.arg(1) & O_CREAT {
        0 => &Absent,
        _ => const { &To(In, &Struct(&NEW_MQ_ATTR)) },
    }
}

const SENT: Type = Bytes(In, Len::Arg(2), TEXT);
const RECEIVED: Type = Bytes(Out, Len::Ret, TEXT);

calls! { CALLS
    mq_open(
        u_name: Path, oflag: flags(&OPEN), mode: Pick(open_mode, 0),
        u_attr: Pick(open_attributes, 0),
    ) -> FD;
    mq_unlink(u_name: Path) -> I32;
    mq_timedsend(
        mqdes: FD, u_msg_ptr: SENT, msg_len: SIZE, msg_prio: U32, u_abs_timeout: TIMESPEC_IN,
    ) -> I32;
    mq_timedreceive(
        mqdes: FD, u_msg_ptr: RECEIVED, msg_len: SIZE, u_msg_prio: To(Out, &U32),
        u_abs_timeout: TIMESPEC_IN,
    ) -> SSIZE;
    mq_timedsend_time64(
        mqdes: FD, u_msg_ptr: SENT, msg_len: SIZE, msg_prio: U32, u_abs_timeout: TIMESPEC64_IN,
    ) -> I32;
    mq_timedreceive_time64(
        mqdes: FD, u_msg_ptr: RECEIVED, msg_len: SIZE, u_msg_prio: To(Out, &U32),
        u_abs_timeout: TIMESPEC64_IN,
    ) -> SSIZE;
    mq_notify(mqdes: FD, u_notification: SIGEVENT_IN) -> I32;
    mq_getsetattr(
        mqdes: FD, u_mqstat: To(In, &Struct(&MQ_ATTR)), u_omqstat: To(Out, &Struct(&MQ_ATTR)),
    ) -> I32;
}
