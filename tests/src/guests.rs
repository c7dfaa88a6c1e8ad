//! Paths of the test plugins, one constant per file of `guests/examples/`; the
//! comment at the head of each file says what it does. Empty without the
//! feature `guests`.

include!(concat!(env!("OUT_DIR"), "/guests.rs"));
