//! x
#[derive(Debug)]
pub struct Subscription { pub id: u64 }
