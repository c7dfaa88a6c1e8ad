//! Limits of resources, and their use.

use crate::decode::common::TIMEVAL;
use crate::decode::schema::prelude::*;
use crate::decode::schema::sets;

sets! {
    /// getrlimit(2)
    RESOURCE "RLIMIT_???" {
        RLIMIT_CPU = 0, RLIMIT_FSIZE = 1, RLIMIT_DATA = 2, RLIMIT_STACK = 3, RLIMIT_CORE = 4,
        RLIMIT_RSS = 5, RLIMIT_NPROC = 6, RLIMIT_NOFILE = 7, RLIMIT_MEMLOCK = 8,
        RLIMIT_AS = 9, RLIMIT_LOCKS = 10, RLIMIT_SIGPENDING = 11, RLIMIT_MSGQUEUE = 12,
        RLIMIT_NICE = 13, RLIMIT_RTPRIO = 14, RLIMIT_RTTIME = 15,
    }
    /// getrusage(2)
    WHO "RUSAGE_???" {
        RUSAGE_SELF = 0, RUSAGE_CHILDREN = 0xffff_ffff, RUSAGE_BOTH = 0xffff_fffe,
        RUSAGE_THREAD = 1,
    }
}

const LIMIT64: Type = Scalar(W64, Style::Limit);
const LIMIT: Type = Scalar(Long, Style::Limit);

structs! {
    /// getrlimit(2)
    RLIMIT "rlimit" { rlim_cur: LIMIT, rlim_max: LIMIT }
    /// prlimit(2)
    RLIMIT64 "rlimit64" { rlim_cur: LIMIT64, rlim_max: LIMIT64 }
    /// getrusage(2)
    RUSAGE "rusage" {
        ru_utime: Struct(&TIMEVAL), ru_stime: Struct(&TIMEVAL),
        [verbose] ru_maxrss: ULONG, [verbose] ru_ixrss: ULONG, [verbose] ru_idrss: ULONG,
        [verbose] ru_isrss: ULONG, [verbose] ru_minflt: ULONG, [verbose] ru_majflt: ULONG,
        [verbose] ru_nswap: ULONG, [verbose] ru_inblock: ULONG, [verbose] ru_oublock: ULONG,
        [verbose] ru_msgsnd: ULONG, [verbose] ru_msgrcv: ULONG, [verbose] ru_nsignals: ULONG,
        [verbose] ru_nvcsw: ULONG, [verbose] ru_nivcsw: ULONG,
    }
    /// times(2)
    TMS "tms" { tms_utime: LONG, tms_stime: LONG, tms_cutime: LONG, tms_cstime: LONG }
}

const CPU: Type = To(Out, &U32);

calls! { CALLS
    getrlimit(resource: one(&RESOURCE), rlim: To(Out, &Struct(&RLIMIT))) -> I32;
    ugetrlimit(resource: one(&RESOURCE), rlim: To(Out, &Struct(&RLIMIT))) -> I32;
    setrlimit(resource: one(&RESOURCE), rlim: To(In, &Struct(&RLIMIT))) -> I32;
    prlimit64(pid: PID, resource: one(&RESOURCE), new_rlim: To(In, &Struct(&RLIMIT64)),
        old_rlim: To(Out, &Struct(&RLIMIT64))) -> I32;
    getrusage(who: one(&WHO), ru: To(Out, &Struct(&RUSAGE))) -> I32;
    times(tbuf: To(Out, &Struct(&TMS))) -> LONG;
    getcpu(cpup: CPU, nodep: CPU, unused: ADDRESS) -> I32;
}
