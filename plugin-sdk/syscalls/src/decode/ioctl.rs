//! ioctl(2), by request.

use super::schema::prelude::*;

calls! { CALLS
}
