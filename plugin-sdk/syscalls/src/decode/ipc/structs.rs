//! Structures of System V objects and of POSIX message queues.

use crate::decode::Fields;
use crate::decode::schema::prelude::*;

use super::sets::{MQ, SEMOP};

structs! {
    /// `struct ipc64_perm` (asm-generic/ipcbuf.h)
    PERM "ipc_perm" (arrange_perm) {
        key: U32, uid: UID, gid: UID, cuid: UID, cgid: UID,
        mode: Scalar(W32, Style::Octal), seq: U16, pad: Pad(2), unused1: ULONG, unused2: ULONG,
    }
    /// The same, of which IPC_SET takes only this.
    NEW_PERM "ipc_perm" (arrange_new_perm) {
        key: U32, uid: UID, gid: UID, cuid: UID, cgid: UID,
        mode: Scalar(W32, Style::Octal), seq: U16, pad: Pad(2), unused1: ULONG, unused2: ULONG,
    }

    /// semop(2)
    SEMBUF "sembuf" { sem_num: U16, sem_op: I16, sem_flg: Scalar(W16, Style::Flags(&SEMOP)) }
    /// semctl(2), asm/sembuf.h of x86
    SEMID_DS "semid_ds" (arrange_semid_ds) {
        sem_perm: Struct(&PERM), sem_otime: ULONG, unused1: ULONG, sem_ctime: ULONG,
        unused2: ULONG, sem_nsems: ULONG, unused3: ULONG, unused4: ULONG,
    }
    /// What IPC_SET of semctl(2) reads of it.
    NEW_SEMID_DS "semid_ds" (arrange_new_semid_ds) {
        sem_perm: Struct(&NEW_PERM), sem_otime: ULONG, unused1: ULONG, sem_ctime: ULONG,
        unused2: ULONG, sem_nsems: ULONG, unused3: ULONG, unused4: ULONG,
    }
    /// IPC_INFO and SEM_INFO of semctl(2)
    SEMINFO "seminfo" {
        semmap: I32, semmni: I32, semmns: I32, semmnu: I32, semmsl: I32, semopm: I32,
        semume: I32, semusz: I32, semvmx: I32, semaem: I32,
    }

    /// msgop(2)
    MSGBUF "msgbuf" { mtype: LONG, mtext: Tail(Len::Arg(2), TEXT) }
    /// msgctl(2), asm-generic/msgbuf.h
    MSQID_DS "msqid_ds" (arrange_msqid_ds) {
        msg_perm: Struct(&PERM), msg_stime: U64, msg_rtime: U64, msg_ctime: U64,
        msg_cbytes: ULONG, msg_qnum: ULONG, msg_qbytes: ULONG, msg_lspid: PID, msg_lrpid: PID,
        unused4: ULONG, unused5: ULONG,
    }
    /// What IPC_SET of msgctl(2) reads of it.
    NEW_MSQID_DS "msqid_ds" (arrange_new_msqid_ds) {
        msg_perm: Struct(&NEW_PERM), msg_stime: U64, msg_rtime: U64, msg_ctime: U64,
        msg_cbytes: ULONG, msg_qnum: ULONG, msg_qbytes: ULONG, msg_lspid: PID, msg_lrpid: PID,
        unused4: ULONG, unused5: ULONG,
    }
    /// IPC_INFO and MSG_INFO of msgctl(2)
    MSGINFO "msginfo" {
        msgpool: I32, msgmap: I32, msgmax: I32, msgmnb: I32, msgmni: I32, msgssz: I32,
        msgtql: I32, msgseg: U16,
    }

    /// shmctl(2), asm-generic/shmbuf.h
    SHMID_DS "shmid_ds" (arrange_shmid_ds) {
        shm_perm: Struct(&PERM), shm_segsz: SIZE, shm_atime: U64, shm_dtime: U64,
        shm_ctime: U64, shm_cpid: PID, shm_lpid: PID, shm_nattch: ULONG, unused4: ULONG,
        unused5: ULONG,
    }
    /// What IPC_SET of shmctl(2) reads of it.
    NEW_SHMID_DS "shmid_ds" (arrange_new_shmid_ds) {
        shm_perm: Struct(&NEW_PERM), shm_segsz: SIZE, shm_atime: U64, shm_dtime: U64,
        shm_ctime: U64, shm_cpid: PID, shm_lpid: PID, shm_nattch: ULONG, unused4: ULONG,
        unused5: ULONG,
    }
    /// IPC_INFO of shmctl(2)
    SHMINFO "shminfo" {
        shmmax: ULONG, shmmin: ULONG, shmmni: ULONG, shmseg: ULONG, shmall: ULONG,
    }
    /// SHM_INFO of shmctl(2)
    SHM_INFO "shm_info" {
        used_ids: I32, shm_tot: ULONG, shm_rss: ULONG, shm_swp: ULONG, swap_attempts: ULONG,
        swap_successes: ULONG,
    }

    /// mq_getattr(3), linux/mqueue.h
    MQ_ATTR "mq_attr" {
        mq_flags: long_flags(&MQ), mq_maxmsg: LONG, mq_msgsize: LONG, mq_curmsgs: LONG,
    }
    /// The same in mq_open(2), which does not look at the flags.
    NEW_MQ_ATTR "mq_attr" {
        mq_flags: XLONG, mq_maxmsg: LONG, mq_msgsize: LONG, mq_curmsgs: LONG,
    }
}

fn arrange_perm(fields: &mut Fields, _: &View<'_>) {
    fields.order(&["uid", "gid", "mode", "key", "cuid", "cgid"]);
}

fn arrange_new_perm(fields: &mut Fields, _: &View<'_>) {
    fields.order(&["uid", "gid", "mode"]);
}

fn arrange_semid_ds(fields: &mut Fields, _: &View<'_>) {
    fields.order(&["sem_perm", "sem_otime", "sem_ctime", "sem_nsems"]);
}

fn arrange_new_semid_ds(fields: &mut Fields, _: &View<'_>) {
    fields.order(&["sem_perm"]);
}

fn arrange_msqid_ds(fields: &mut Fields, _: &View<'_>) {
    fields.order(&[
        "msg_perm",
        "msg_stime",
        "msg_rtime",
        "msg_ctime",
        "msg_qnum",
        "msg_qbytes",
        "msg_lspid",
        "msg_lrpid",
    ]);
}

fn arrange_new_msqid_ds(fields: &mut Fields, _: &View<'_>) {
    fields.order(&["msg_perm", "msg_qbytes"]);
}

fn arrange_shmid_ds(fields: &mut Fields, _: &View<'_>) {
    fields.order(&[
        "shm_perm",
        "shm_segsz",
        "shm_cpid",
        "shm_lpid",
        "shm_nattch",
        "shm_atime",
        "shm_dtime",
        "shm_ctime",
    ]);
}

fn arrange_new_shmid_ds(fields: &mut Fields, _: &View<'_>) {
    fields.order(&["shm_perm"]);
}
