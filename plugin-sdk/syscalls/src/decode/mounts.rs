//! Mounts, quotas and file systems as a whole.

mod calls;
mod query;
mod quota;
mod sets;

pub(super) use calls::CALLS;
pub(super) use query::CALLS as QUERY_CALLS;
pub(super) use quota::CALLS as QUOTA_CALLS;
