//! Which implementation the target has chosen for an indirect function.

use std::rc::Rc;

use pai_ptrace::Pid;
use pai_symbols::{SlotKind, Symbol};

use crate::engine::Engine;
use crate::error::Error;
use crate::symbols::modules::Loaded;

/// How many slots are looked at for one symbol.
const MAX_SLOTS: usize = 64;

impl Engine {
    /// The implementation of an indirect function, if the loader has already
    /// asked for it and left it in a slot: in one of the module's own
    /// (IRELATIVE), or in one of a module that calls it by its name. Nothing is
    /// executed in the target.
    pub(crate) fn implementation(
        &mut self,
        pid: Pid,
        modules: &[Rc<Loaded>],
        index: usize,
        symbol: &Symbol<'_>,
    ) -> Result<Option<u64>, Error> {
        let home = &modules[index];
        let mut slots: Vec<u64> = home
            .object
            .relocations()
            .filter(|slot| slot.kind == SlotKind::IRelative && slot.addend == symbol.value)
            .map(|slot| slot.slot.wrapping_add(home.bias))
            .take(MAX_SLOTS)
            .collect();
        let version = home.object.version_name(symbol);
        for module in modules {
            let named = module.object.slots_of(symbol.name);
            // Another version is another function.
            let same = named.filter(|slot| match (slot.version, version) {
                (Some(wanted), Some(own)) => wanted == own,
                _ => true,
            });
            slots.extend(
                same.take(MAX_SLOTS)
                    .map(|slot| slot.slot.wrapping_add(module.bias)),
            );
        }
        for slot in slots.into_iter().take(MAX_SLOTS) {
            let Some(value) = self.word(pid, slot)? else {
                continue;
            };
            let vaddr = value.wrapping_sub(home.bias);
            // Before it is filled in it leads to the stub that asks the loader.
            if vaddr != symbol.value && home.object.is_code(vaddr) && !home.object.is_stub(vaddr) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Eight bytes, if they can be read: an address in a target's own table
    /// need not lead anywhere.
    pub(crate) fn word(&mut self, pid: Pid, addr: u64) -> Result<Option<u64>, Error> {
        let mut word = [0; 8];
        let (mem, tid) = self.mem(pid)?;
        let done = mem
            .read(addr, &mut word)
            .map_err(|e| Error::from_ptrace(e, tid))?;
        Ok((done == word.len()).then(|| u64::from_le_bytes(word)))
    }
}
