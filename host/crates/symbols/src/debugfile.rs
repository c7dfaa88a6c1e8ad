//! Where the debug information of a stripped object is: in a file of its own
//! (the manual of GDB, "Debugging Information in Separate Files").

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use object::elf;

use crate::elf::{Elf, u32_at};
use crate::error::Error;
use crate::limits;
use crate::source::Source;

/// Where to look for debug files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DebugSearch {
    /// What absolute paths begin with: "/", or /proc/PID/root for the files as
    /// a process in another mount namespace sees them. Tried in this order.
    pub roots: Vec<PathBuf>,
    /// Directories of debug files: /usr/lib/debug.
    pub directories: Vec<PathBuf>,
    /// The object's own path, below each root.
    pub path: Option<PathBuf>,
}

impl Default for DebugSearch {
    fn default() -> Self {
        Self {
            roots: vec!["/".into()],
            directories: vec!["/usr/lib/debug".into()],
            path: None,
        }
    }
}

/// The name and checksum of a debug file (.gnu_debuglink).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct DebugLink {
    name: Vec<u8>,
    crc: u32,
}

/// The build-id, which the linker puts into a note.
pub(crate) fn build_id(elf: &Elf, source: &Source) -> Option<Vec<u8>> {
    let sections = elf
        .sections
        .iter()
        .filter(|s| s.kind == elf::SHT_NOTE)
        .map(|s| (s.offset, s.size));
    let segments = elf
        .segments
        .iter()
        .filter(|s| s.kind == elf::PT_NOTE)
        .map(|s| (s.offset, s.file_size));
    // A debug file keeps the section, but its segments are those of the program.
    sections
        .chain(segments)
        .take(64)
        .find_map(|(offset, size)| {
            let notes = source.read("notes", offset, size, limits::NOTES).ok()?;
            find_build_id(&notes)
        })
}

fn find_build_id(notes: &[u8]) -> Option<Vec<u8>> {
    let mut rest = notes;
    loop {
        let (name_len, len, kind) = (u32_at(rest, 0)?, u32_at(rest, 4)?, u32_at(rest, 8)?);
        let name = rest.get(12..)?.get(..name_len as usize)?;
        let at = 12 + (name_len as usize).next_multiple_of(4);
        let text = rest.get(at..)?.get(..len as usize)?;
        if name == b"GNU\0" && kind == elf::NT_GNU_BUILD_ID {
            let fits = (1..=limits::BUILD_ID).contains(&text.len());
            return fits.then(|| text.to_vec());
        }
        rest = rest.get(at + (len as usize).next_multiple_of(4)..)?;
    }
}

/// What the object says of its debug file.
pub(crate) fn debug_link(elf: &Elf, source: &Source) -> Option<DebugLink> {
    let section = elf.section(b".gnu_debuglink").filter(|s| s.has_bytes())?;
    let bytes = source
        .read("debug link", section.offset, section.size, 4096)
        .ok()?;
    let len = memchr::memchr(0, &bytes)?;
    let name = bytes[..len].to_vec();
    // A file name and nothing else: it is put behind directories of ours.
    let mut parts = Path::new(OsStr::from_bytes(&name)).components();
    let plain = matches!(
        (parts.next(), parts.next()),
        (Some(Component::Normal(_)), None)
    );
    let crc = u32_at(&bytes, (len + 1).next_multiple_of(4))?;
    plain.then_some(DebugLink { name, crc })
}

/// The debug file of an object, checked to be its own.
pub(crate) fn find(
    elf: &Elf,
    source: &Source,
    build_id: Option<&[u8]>,
    search: &DebugSearch,
) -> Option<(Source, Elf)> {
    let link = debug_link(elf, source);
    let candidates = candidates(build_id, link.as_ref(), search);
    candidates.into_iter().find_map(|path| {
        let name = path.to_string_lossy();
        let found = Source::open(&path, &name).ok()?;
        if found.identity().is_some() && found.identity() == source.identity() {
            return None;
        }
        let headers = Elf::parse(&found).ok()?;
        let own = self::build_id(&headers, &found);
        let fits = match (build_id, own) {
            (Some(wanted), Some(own)) => wanted == own,
            _ => link
                .as_ref()
                .is_some_and(|link| checksum(&found) == Ok(link.crc)),
        };
        (fits && headers.wide == elf.wide).then_some((found, headers))
    })
}

fn candidates(
    build_id: Option<&[u8]>,
    link: Option<&DebugLink>,
    search: &DebugSearch,
) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for root in &search.roots {
        if let Some((first, rest)) = build_id.and_then(<[u8]>::split_first) {
            let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
            let file = format!(".build-id/{first:02x}/{rest}.debug");
            let places = search.directories.iter();
            paths.extend(places.map(|place| below(root, place).join(&file)));
        }
        let folder = search.path.as_deref().and_then(Path::parent);
        if let (Some(link), Some(folder)) = (link, folder) {
            let name = OsStr::from_bytes(&link.name);
            paths.push(below(root, folder).join(name));
            paths.push(below(root, folder).join(".debug").join(name));
            let places = search.directories.iter();
            paths.extend(places.map(|place| below(&below(root, place), folder).join(name)));
        }
    }
    paths
}

/// An absolute path, below another one.
fn below(root: &Path, path: &Path) -> PathBuf {
    let plain = path
        .components()
        .filter(|part| matches!(part, Component::Normal(_)));
    root.iter().chain(plain.map(Component::as_os_str)).collect()
}

/// CRC-32 of the whole file, as .gnu_debuglink has it.
fn checksum(source: &Source) -> Result<u32, Error> {
    let size = source.size();
    if size > limits::CHECKSUM {
        return Err(source.too_large("debug file", size, limits::CHECKSUM));
    }
    let mut hasher = crc32fast::Hasher::new();
    let mut chunk = vec![0; 1 << 20];
    let mut at = 0;
    while at < size {
        let len = usize::try_from(size - at).map_or(chunk.len(), |rest| rest.min(chunk.len()));
        source.fill("debug file", at, &mut chunk[..len])?;
        hasher.update(&chunk[..len]);
        at += len as u64;
    }
    Ok(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_debug_files() {
        let link = DebugLink {
            name: b"prog.debug".to_vec(),
            crc: 0,
        };
        let search = DebugSearch {
            roots: vec!["/proc/7/root".into()],
            directories: vec!["/usr/lib/debug".into()],
            path: Some("/opt/../bin/prog".into()),
        };
        let paths = candidates(Some(&[0xab, 0xcd, 0x01]), Some(&link), &search);
        let expected = [
            "/proc/7/root/usr/lib/debug/.build-id/ab/cd01.debug",
            "/proc/7/root/opt/bin/prog.debug",
            "/proc/7/root/opt/bin/.debug/prog.debug",
            "/proc/7/root/usr/lib/debug/opt/bin/prog.debug",
        ];
        assert_eq!(paths, expected.map(PathBuf::from));
        assert!(candidates(None, None, &search).is_empty());
    }

    #[test]
    fn build_ids_are_found_among_notes() {
        let note = |name: &[u8], kind: u32, text: &[u8]| {
            let mut note = Vec::new();
            for number in [name.len() as u32, text.len() as u32, kind] {
                note.extend(number.to_le_bytes());
            }
            for part in [name, text] {
                note.extend(part);
                note.resize(note.len().next_multiple_of(4), 0);
            }
            note
        };
        let mut notes = note(b"GNU\0", elf::NT_GNU_ABI_TAG, &[0; 16]);
        assert_eq!(find_build_id(&notes), None);
        notes.extend(note(b"GNU\0", elf::NT_GNU_BUILD_ID, &[1, 2, 3]));
        assert_eq!(find_build_id(&notes), Some(vec![1, 2, 3]));
        let long = note(b"GNU\0", elf::NT_GNU_BUILD_ID, &[1; 65]);
        assert_eq!(find_build_id(&long), None);
        assert_eq!(find_build_id(&[0xff; 40]), None);
    }
}
