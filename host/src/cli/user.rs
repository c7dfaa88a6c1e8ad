//! Running a command as another user.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use nix::unistd::{Uid, User, getgrouplist};
use pai_ptrace::Credentials;

use super::message::Halt;

/// What a user has by the system's lists of users and groups.
///
/// # Errors
/// When there is no such user, or we are not root.
pub(crate) fn find(name: &OsStr) -> Result<Credentials, Halt> {
    let shown = name.display();
    if !Uid::effective().is_root() {
        return Err(Halt::failed(format!(
            "-u {shown}: only root can run a command as another user"
        )));
    }
    let wrong = |why: &str| Halt::failed(format!("-u {shown}: {why}"));
    let text = name.to_str().ok_or_else(|| wrong("no user of this name"))?;
    let user = User::from_name(text)
        .map_err(|errno| wrong(errno.desc()))?
        .ok_or_else(|| wrong("no user of this name"))?;
    let c_name = CString::new(name.as_bytes()).map_err(|_| wrong("no user of this name"))?;
    let groups = getgrouplist(&c_name, user.gid).map_err(|errno| wrong(errno.desc()))?;
    Ok(Credentials {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        groups: groups.into_iter().map(|group| group.as_raw()).collect(),
    })
}
