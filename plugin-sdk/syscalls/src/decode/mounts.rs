//! Mounts, quotas and file systems as a whole.

use super::schema::prelude::*;

calls! { CALLS
}
