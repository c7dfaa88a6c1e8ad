//! quotactl(2), by command.

use alloc::vec::Vec;

use super::sets::{
    QUOTA_COMMAND, QUOTA_FORMAT, QUOTA_INFO_FLAGS, QUOTA_INFO_VALID, QUOTA_TYPE, QUOTA_VALID,
    XFS_QUOTA_FLAGS, XFS_QUOTA_OF,
};
use crate::decode::schema::prelude::*;

const U16: Type = Scalar(W16, Style::Unsigned);

structs! {
    /// `struct if_dqblk` of linux/quota.h
    DQBLK "if_dqblk" {
        dqb_bhardlimit: U64, dqb_bsoftlimit: U64, dqb_curspace: U64, dqb_ihardlimit: U64,
        dqb_isoftlimit: U64, dqb_curinodes: U64, [verbose] dqb_btime: U64,
        [verbose] dqb_itime: U64, [verbose] dqb_valid: flags(&QUOTA_VALID),
    }
    /// `struct if_nextdqblk` of linux/quota.h
    NEXT_DQBLK "if_nextdqblk" {
        dqb_bhardlimit: U64, dqb_bsoftlimit: U64, dqb_curspace: U64, dqb_ihardlimit: U64,
        dqb_isoftlimit: U64, dqb_curinodes: U64, [verbose] dqb_btime: U64,
        [verbose] dqb_itime: U64, [verbose] dqb_valid: flags(&QUOTA_VALID), dqb_id: U32,
    }
    /// `struct if_dqinfo` of linux/quota.h
    DQINFO "if_dqinfo" {
        dqi_bgrace: U64, dqi_igrace: U64, dqi_flags: flags(&QUOTA_INFO_FLAGS),
        dqi_valid: flags(&QUOTA_INFO_VALID),
    }
    /// `struct fs_disk_quota` of linux/dqblk_xfs.h
    DISK_QUOTA "fs_disk_quota" {
        d_version: I8, d_flags: Scalar(W8, Style::Flags(&XFS_QUOTA_OF)), d_fieldmask: X16,
        d_id: U32, d_blk_hardlimit: U64, d_blk_softlimit: U64, d_ino_hardlimit: U64,
        d_ino_softlimit: U64, d_bcount: U64, d_icount: U64, [verbose] d_itimer: I32,
        [verbose] d_btimer: I32, [verbose] d_iwarns: U16, [verbose] d_bwarns: U16,
        padding2: Pad(4), [verbose] d_rtb_hardlimit: U64, [verbose] d_rtb_softlimit: U64,
        [verbose] d_rtbcount: U64, [verbose] d_rtbtimer: I32, [verbose] d_rtbwarns: U16,
        padding3: Pad(10),
    }
    /// `fs_qfilestat_t` of linux/dqblk_xfs.h
    QFILESTAT "fs_qfilestat" { qfs_ino: U64, qfs_nblks: U64, qfs_nextents: U32 }
    /// `struct fs_quota_stat` of linux/dqblk_xfs.h
    QUOTA_STAT "fs_quota_stat" {
        qs_version: I8, [verbose] qs_flags: Scalar(W16, Style::Flags(&XFS_QUOTA_FLAGS)),
        qs_pad: Pad(1), [verbose] qs_uquota: Struct(&QFILESTAT),
        [verbose] qs_gquota: Struct(&QFILESTAT), [verbose] qs_incoredqs: U32,
        [verbose] qs_btimelimit: I32, [verbose] qs_itimelimit: I32,
        [verbose] qs_rtbtimelimit: I32, [verbose] qs_bwarnlimit: U16,
        [verbose] qs_iwarnlimit: U16,
    }
    /// `struct fs_qfilestatv` of linux/dqblk_xfs.h
    QFILESTATV "fs_qfilestatv" {
        qfs_ino: U64, qfs_nblks: U64, qfs_nextents: U32, qfs_pad: Pad(4),
    }
    /// `struct fs_quota_statv` of linux/dqblk_xfs.h
    QUOTA_STATV "fs_quota_statv" {
        qs_version: I8, qs_pad1: Pad(1),
        [verbose] qs_flags: Scalar(W16, Style::Flags(&XFS_QUOTA_FLAGS)),
        [verbose] qs_incoredqs: U32, [verbose] qs_uquota: Struct(&QFILESTATV),
        [verbose] qs_gquota: Struct(&QFILESTATV), [verbose] qs_pquota: Struct(&QFILESTATV),
        [verbose] qs_btimelimit: I32, [verbose] qs_itimelimit: I32,
        [verbose] qs_rtbtimelimit: I32, [verbose] qs_bwarnlimit: U16,
        [verbose] qs_iwarnlimit: U16, qs_rtbwarnlimit: Pad(2), qs_pad3: Pad(2),
        qs_pad4: Pad(4), qs_pad2: Pad(56),
    }
}

/// QCMD(cmd, type) of quotactl(2).
fn command(view: &View<'_>) -> Value {
    let (cmd, of) = (view.raw >> 8 & 0xff_ffff, view.raw & 0xff);
    let parts = [Value::One(cmd, &QUOTA_COMMAND), Value::One(of, &QUOTA_TYPE)];
    Value::Call("QCMD", Vec::from(parts))
}

fn by_command(view: &View<'_>) -> Option<&'static Call> {
    find(COMMANDS, view.arg32(0))
}

fn fd_by_command(view: &View<'_>) -> Option<&'static Call> {
    find(FD_COMMANDS, view.arg32(1))
}

fn find(of: &'static [Call], cmd: u32) -> Option<&'static Call> {
    let name = QUOTA_COMMAND.name(u64::from(cmd >> 8))?;
    of.iter().find(|call| call.name == name)
}

const CMD: Type = Special(command, 0);
const FORMAT: Type = one(&QUOTA_FORMAT);
const FLAGS_IN: Type = To(In, &flags(&XFS_QUOTA_FLAGS));
const DQBLK_IN: Type = To(In, &Struct(&DQBLK));
const DQBLK_OUT: Type = To(Out, &Struct(&DQBLK));
const NEXT_OUT: Type = To(Out, &Struct(&NEXT_DQBLK));
const DQINFO_IN: Type = To(In, &Struct(&DQINFO));
const DQINFO_OUT: Type = To(Out, &Struct(&DQINFO));
const DISK_QUOTA_IN: Type = To(In, &Struct(&DISK_QUOTA));
const DISK_QUOTA_OUT: Type = To(Out, &Struct(&DISK_QUOTA));

calls! { CALLS
    quotactl by by_command (cmd: CMD, special: Path, id: UID, addr: ADDRESS) -> I32;
    quotactl_fd by fd_by_command (fd: FD, cmd: CMD, id: UID, addr: ADDRESS) -> I32;
}

calls! { COMMANDS
    Q_SYNC(cmd: CMD, special: Path, id: Absent, addr: Absent) -> I32;
    Q_QUOTAON(cmd: CMD, special: Path, id: FORMAT, addr: Path) -> I32;
    Q_QUOTAOFF(cmd: CMD, special: Path, id: Absent, addr: Absent) -> I32;
    Q_GETFMT(cmd: CMD, special: Path, id: Absent, addr: To(Out, &FORMAT)) -> I32;
    Q_GETINFO(cmd: CMD, special: Path, id: Absent, addr: DQINFO_OUT) -> I32;
    Q_SETINFO(cmd: CMD, special: Path, id: Absent, addr: DQINFO_IN) -> I32;
    Q_GETQUOTA(cmd: CMD, special: Path, id: UID, addr: DQBLK_OUT) -> I32;
    Q_SETQUOTA(cmd: CMD, special: Path, id: UID, addr: DQBLK_IN) -> I32;
    Q_GETNEXTQUOTA(cmd: CMD, special: Path, id: UID, addr: NEXT_OUT) -> I32;
    Q_XQUOTAON(cmd: CMD, special: Path, id: Absent, addr: FLAGS_IN) -> I32;
    Q_XQUOTAOFF(cmd: CMD, special: Path, id: Absent, addr: FLAGS_IN) -> I32;
    Q_XQUOTARM(cmd: CMD, special: Path, id: Absent, addr: FLAGS_IN) -> I32;
    Q_XQUOTASYNC(cmd: CMD, special: Path, id: Absent, addr: Absent) -> I32;
    Q_XGETQUOTA(cmd: CMD, special: Path, id: UID, addr: DISK_QUOTA_OUT) -> I32;
    Q_XGETNEXTQUOTA(cmd: CMD, special: Path, id: UID, addr: DISK_QUOTA_OUT) -> I32;
    Q_XSETQLIM(cmd: CMD, special: Path, id: UID, addr: DISK_QUOTA_IN) -> I32;
    Q_XGETQSTAT(cmd: CMD, special: Path, id: Absent, addr: To(Out, &Struct(&QUOTA_STAT))) -> I32;
    Q_XGETQSTATV(cmd: CMD, special: Path, id: Absent, addr: To(Out, &Struct(&QUOTA_STATV)))
        -> I32;
}

calls! { FD_COMMANDS
    Q_SYNC(fd: FD, cmd: CMD, id: Absent, addr: Absent) -> I32;
    Q_QUOTAON(fd: FD, cmd: CMD, id: FORMAT, addr: Path) -> I32;
    Q_QUOTAOFF(fd: FD, cmd: CMD, id: Absent, addr: Absent) -> I32;
    Q_GETFMT(fd: FD, cmd: CMD, id: Absent, addr: To(Out, &FORMAT)) -> I32;
    Q_GETINFO(fd: FD, cmd: CMD, id: Absent, addr: DQINFO_OUT) -> I32;
    Q_SETINFO(fd: FD, cmd: CMD, id: Absent, addr: DQINFO_IN) -> I32;
    Q_GETQUOTA(fd: FD, cmd: CMD, id: UID, addr: DQBLK_OUT) -> I32;
    Q_SETQUOTA(fd: FD, cmd: CMD, id: UID, addr: DQBLK_IN) -> I32;
    Q_GETNEXTQUOTA(fd: FD, cmd: CMD, id: UID, addr: NEXT_OUT) -> I32;
    Q_XQUOTAON(fd: FD, cmd: CMD, id: Absent, addr: FLAGS_IN) -> I32;
    Q_XQUOTAOFF(fd: FD, cmd: CMD, id: Absent, addr: FLAGS_IN) -> I32;
    Q_XQUOTARM(fd: FD, cmd: CMD, id: Absent, addr: FLAGS_IN) -> I32;
    Q_XQUOTASYNC(fd: FD, cmd: CMD, id: Absent, addr: Absent) -> I32;
    Q_XGETQUOTA(fd: FD, cmd: CMD, id: UID, addr: DISK_QUOTA_OUT) -> I32;
    Q_XGETNEXTQUOTA(fd: FD, cmd: CMD, id: UID, addr: DISK_QUOTA_OUT) -> I32;
    Q_XSETQLIM(fd: FD, cmd: CMD, id: UID, addr: DISK_QUOTA_IN) -> I32;
    Q_XGETQSTAT(fd: FD, cmd: CMD, id: Absent, addr: To(Out, &Struct(&QUOTA_STAT))) -> I32;
    Q_XGETQSTATV(fd: FD, cmd: CMD, id: Absent, addr: To(Out, &Struct(&QUOTA_STATV))) -> I32;
}
