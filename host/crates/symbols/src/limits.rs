//! How much of an object is looked at.
//!
//! Each is far above what real programs have: a browser's binary has 2 million
//! symbols, 100 MiB of names, and 1 GiB of debug information.

/// Most bytes of one section that is not debug information.
pub const SECTION: u64 = 512 << 20;
/// Most bytes of one section of debug information, unpacked.
pub const DEBUG_SECTION: u64 = 1 << 30;
/// Most bytes of all sections of debug information of one object, unpacked.
pub const DEBUG: u64 = 3 << 30;
/// Most section headers. Only object files have more.
pub const SECTIONS: u64 = 65_536;
/// Most symbols of one table.
pub const SYMBOLS: u64 = 8 << 20;
/// Most bytes of one name. What is longer is left out.
pub const NAME: usize = 16 << 10;
/// Most bytes of all names of one table. Names may share bytes, so that their
/// sum is not bounded by the size of the file.
pub const NAMES: u64 = 1 << 30;
/// Most relocations.
pub const RELOCATIONS: u64 = 8 << 20;
/// Most entries of the dynamic section.
pub const DYNAMIC: u64 = 4096;
/// Most versions, defined and needed.
pub const VERSIONS: u32 = 32_768;
/// Most bytes of one note segment.
pub const NOTES: u64 = 1 << 20;
/// Most bytes of a build-id; the common ones have 16 or 20.
pub const BUILD_ID: usize = 64;
/// Most functions that unwind information describes.
pub const FRAMES: usize = 8 << 20;
/// Most addresses of one object whose rules for unwinding are kept.
pub const ROWS: usize = 8192;
/// Most bytes of a file whose checksum is compared (.gnu_debuglink).
pub const CHECKSUM: u64 = 4 << 30;

/// Most bytes of a name that is demangled.
pub const MANGLED: usize = 4096;
/// Most bytes of a demangled name.
pub const DEMANGLED: usize = 16 << 10;
/// Milliseconds that one search may spend on demangling.
pub const DEMANGLING: u64 = 3000;

/// Most address ranges of all units, or of all functions of one unit.
pub const RANGES: usize = 8 << 20;
/// Most address ranges of one entry that is looked at for one address.
pub const ENTRY_RANGES: usize = 4096;
/// Most lines of the line table of one unit.
pub const LINES: usize = 16 << 20;
/// Most functions inlined into each other.
pub const INLINED: usize = 256;
/// Most steps from an entry to the one that has its name.
pub const ORIGINS: usize = 16;
/// Most bytes of a path in debug information.
pub const PATH: usize = 4096;
/// Most steps of a DWARF expression, which may contain loops.
pub const EXPRESSION: u32 = 1000;

/// Most bytes of a search pattern.
pub const PATTERN: usize = 4096;
