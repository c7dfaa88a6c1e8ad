//! Code of a program or library.

use std::fs;
use std::path::Path;

/// A part of a file that holds instructions and nothing else.
#[derive(Debug)]
pub struct Text {
    /// Where it is in memory, from the file's base on.
    pub addr: u64,
    /// What is there.
    pub bytes: Vec<u8>,
}

fn number(file: &[u8], at: u64, len: usize) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    let mut bytes = [0; 8];
    bytes[..len].copy_from_slice(file.get(at..at.checked_add(len)?)?);
    Some(u64::from_le_bytes(bytes))
}

/// The section .text of an ELF file of 64 bits (elf(5)).
pub fn text(path: &Path) -> Option<Text> {
    let file = fs::read(path).ok()?;
    // e_shoff, e_shentsize, e_shnum, e_shstrndx
    let sections = number(&file, 0x28, 8)?;
    let size = number(&file, 0x3a, 2)?;
    let count = number(&file, 0x3c, 2)?;
    let names = number(&file, 0x3e, 2)?;
    let header = |index: u64| sections + index * size;
    // sh_name, sh_addr, sh_offset, sh_size
    let names = number(&file, header(names) + 0x18, 8)?;
    (0..count).find_map(|index| {
        let name = names + number(&file, header(index), 4)?;
        let name = file.get(usize::try_from(name).ok()?..)?;
        if !name.starts_with(b".text\0") {
            return None;
        }
        let offset = usize::try_from(number(&file, header(index) + 0x18, 8)?).ok()?;
        let len = usize::try_from(number(&file, header(index) + 0x20, 8)?).ok()?;
        Some(Text {
            addr: number(&file, header(index) + 0x10, 8)?,
            bytes: file.get(offset..offset.checked_add(len)?)?.to_vec(),
        })
    })
}
