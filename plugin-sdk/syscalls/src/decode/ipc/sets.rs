//! Names in calls on System V objects (linux/ipc.h, linux/sem.h, linux/msg.h,
//! linux/shm.h).

use crate::decode::memory::SHM_HUGE;
use crate::decode::schema::sets;

sets! {
    /// The key of no object in particular.
    KEY "" { IPC_PRIVATE = 0 }
    /// Flags of semget(2) and msgget(2), without permissions.
    GET "" { IPC_CREAT = 0o1000, IPC_EXCL = 0o2000, IPC_NOWAIT = 0o4000 }
    /// Flags of shmget(2), without permissions.
    SHMGET "" last(0xfc00_0000 => SHM_HUGE) {
        IPC_CREAT = 0o1000, IPC_EXCL = 0o2000, SHM_HUGETLB = 0o4000, SHM_NORESERVE = 0o1_0000,
    }
    /// Flags of an operation of semop(2).
    SEMOP "SEM_???" { SEM_UNDO = 0x1000, IPC_NOWAIT = 0o4000 }
    /// msgsnd(2), msgrcv(2)
    MSG "MSG_???" {
        MSG_NOERROR = 0o1_0000, MSG_EXCEPT = 0o2_0000, MSG_COPY = 0o4_0000, IPC_NOWAIT = 0o4000,
    }
    /// shmat(2)
    SHMAT "SHM_???" {
        SHM_RDONLY = 0o1_0000, SHM_RND = 0o2_0000, SHM_REMAP = 0o4_0000, SHM_EXEC = 0o10_0000,
    }
    /// semctl(2)
    SEMCTL "SEM_???" {
        IPC_RMID = 0, IPC_SET = 1, IPC_STAT = 2, IPC_INFO = 3, GETPID = 11, GETVAL = 12,
        GETALL = 13, GETNCNT = 14, GETZCNT = 15, SETVAL = 16, SETALL = 17, SEM_STAT = 18,
        SEM_INFO = 19, SEM_STAT_ANY = 20,
    }
    /// msgctl(2)
    MSGCTL "MSG_???" {
        IPC_RMID = 0, IPC_SET = 1, IPC_STAT = 2, IPC_INFO = 3, MSG_STAT = 11, MSG_INFO = 12,
        MSG_STAT_ANY = 13,
    }
    /// shmctl(2)
    SHMCTL "SHM_???" {
        IPC_RMID = 0, IPC_SET = 1, IPC_STAT = 2, IPC_INFO = 3, SHM_LOCK = 11, SHM_UNLOCK = 12,
        SHM_STAT = 13, SHM_INFO = 14, SHM_STAT_ANY = 15,
    }
    /// Flags of a queue: mq_getattr(3).
    MQ "O_???" { O_NONBLOCK = 0o4000 }
}
