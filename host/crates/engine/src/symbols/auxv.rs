//! The auxiliary vector (getauxval(3)), as /proc/PID/auxv has it.

use std::fs;

use pai_ptrace::Tid;

use crate::procfs::is_wide;

const AT_ENTRY: u64 = 9;

/// Where the executable begins. How wide it is the vector itself does not say.
pub(crate) fn entry(tid: Tid) -> Option<u64> {
    get(
        &fs::read(format!("/proc/{tid}/auxv")).ok()?,
        is_wide(tid),
        AT_ENTRY,
    )
}

fn get(vector: &[u8], wide: bool, wanted: u64) -> Option<u64> {
    let word = |bytes: &[u8]| {
        let mut word = [0; 8];
        word.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(u64::from_le_bytes(word))
    };
    let size = if wide { 8 } else { 4 };
    vector
        .chunks_exact(2 * size)
        .map(|pair| pair.split_at(size))
        .find(|(key, _)| word(key) == Some(wanted))
        .and_then(|(_, value)| word(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_both_widths() {
        let wide: Vec<u8> = [3_u64, 7, 9, 0x40_1000, 0, 0]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        assert_eq!(get(&wide, true, AT_ENTRY), Some(0x40_1000));
        let narrow: Vec<u8> = [3_u32, 7, 9, 0x804_8000, 0, 0]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        assert_eq!(get(&narrow, false, AT_ENTRY), Some(0x804_8000));
        assert_eq!(get(&narrow, false, 4), None);
        assert_eq!(get(&[1, 2, 3], true, AT_ENTRY), None);
    }

    #[test]
    fn our_own_entry_is_in_our_own_code() {
        let tid = Tid::new(std::process::id().cast_signed());
        let entry = entry(tid).unwrap();
        let maps = crate::procfs::maps(tid).unwrap();
        let map = maps
            .iter()
            .find(|map| (map.start..map.end).contains(&entry));
        let exe = String::from_utf8(crate::procfs::exe(tid)).unwrap();
        assert_eq!(map.unwrap().name, exe);
    }
}
