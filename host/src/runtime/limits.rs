//! What one plugin may use.

use std::cell::Cell;
use std::rc::Rc;

use send_wrapper::SendWrapper;
use wasmtime::ResourceLimiter;

/// A component made of a Rust crate has one memory, a few tables for its
/// adapters and about four core instances.
const MEMORIES: usize = 16;
const TABLES: usize = 64;
const INSTANCES: usize = 64;
/// A word each, on the host's side.
const TABLE_ELEMENTS: usize = 1 << 20;

/// What was refused last. The guest only sees an allocation fail, and what it
/// dies of then does not tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    Memory,
    Table,
}

/// Counts the memory of one store.
#[derive(Debug)]
pub(crate) struct Limiter {
    limit: usize,
    used: usize,
    elements: usize,
    refused: SendWrapper<Rc<Cell<Option<Refusal>>>>,
}

impl Limiter {
    pub(crate) fn new(limit: usize, refused: Rc<Cell<Option<Refusal>>>) -> Self {
        Self {
            limit,
            used: 0,
            elements: 0,
            refused: SendWrapper::new(refused),
        }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.limit {
            self.refused.set(Some(Refusal::Memory));
            return Ok(false);
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let elements = self
            .elements
            .saturating_add(desired.saturating_sub(current));
        if elements > TABLE_ELEMENTS {
            self.refused.set(Some(Refusal::Table));
            return Ok(false);
        }
        self.elements = elements;
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_counted_together_and_the_refusal_is_kept() {
        let refused = Rc::new(Cell::new(None));
        let mut limiter = Limiter::new(100, Rc::clone(&refused));
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        assert_eq!(refused.get(), None);
        assert!(!limiter.memory_growing(60, 61, None).unwrap());
        assert_eq!(refused.get(), Some(Refusal::Memory));
        assert!(!limiter.memory_growing(0, usize::MAX, None).unwrap());
        assert!(!limiter.table_growing(0, usize::MAX, None).unwrap());
        assert_eq!(refused.get(), Some(Refusal::Table));
        assert!(limiter.table_growing(0, 10, None).unwrap());
    }
}
