//! Objects that no compiler makes. Those that are made to take for ever end the
//! test when they do not.

use std::collections::BTreeMap;

use pai_symbols::{DebugSearch, Error, Kind, Object, Registers, Source, limits};

const SHT_PROGBITS: u32 = 1;
const SHT_SYMTAB: u32 = 2;
const SHT_STRTAB: u32 = 3;
const SHF_ALLOC: u64 = 2;
const SHF_COMPRESSED: u64 = 0x800;

/// Writes 64-bit files with sections and no segments.
#[derive(Default)]
struct Writer {
    sections: Vec<(&'static str, u32, u64, u64, Vec<u8>)>,
    /// Sizes that are not true.
    sizes: BTreeMap<usize, u64>,
}

impl Writer {
    fn section(mut self, name: &'static str, kind: u32, flags: u64, bytes: Vec<u8>) -> Self {
        let addr = if flags & SHF_ALLOC != 0 { 0x1000 } else { 0 };
        self.sections.push((name, kind, flags, addr, bytes));
        self
    }

    fn size(mut self, size: u64) -> Self {
        self.sizes.insert(self.sections.len() - 1, size);
        self
    }

    fn write(self) -> Vec<u8> {
        let mut names = vec![0];
        let mut file = vec![0; 64];
        let mut headers = vec![0; 64];
        let mut header = |name: &[u8], kind: u32, flags, addr, at: usize, size: u64| {
            headers.extend((names.len() as u32).to_le_bytes());
            headers.extend(kind.to_le_bytes());
            for word in [flags, addr, at as u64, size] {
                headers.extend(u64::to_le_bytes(word));
            }
            // The next section has the names of a symbol table.
            headers.extend((headers.len() as u32 / 64 + 1).to_le_bytes());
            headers.resize(headers.len().next_multiple_of(64), 0);
            names.extend(name);
            names.push(0);
            names.clone()
        };
        for (index, (name, kind, flags, addr, bytes)) in self.sections.iter().enumerate() {
            let size = self.sizes.get(&index).copied();
            let size = size.unwrap_or(bytes.len() as u64);
            header(name.as_bytes(), *kind, *flags, *addr, file.len(), size);
            file.extend(bytes);
        }
        let all = header(b".names", SHT_STRTAB, 0, 0, file.len(), 1000);
        file.extend(&all);
        file.resize(file.len() + 1000, 0);
        let at = file.len() as u64;
        let count = headers.len() as u16 / 64;
        file.extend(headers);
        file[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
        file[16..20].copy_from_slice(&[3, 0, 62, 0]);
        file[40..48].copy_from_slice(&at.to_le_bytes());
        file[58..60].copy_from_slice(&64_u16.to_le_bytes());
        file[60..62].copy_from_slice(&count.to_le_bytes());
        file[62..64].copy_from_slice(&(count - 1).to_le_bytes());
        file
    }

    fn object(self) -> Object {
        let source = Source::from_bytes("made up", &self.write());
        Object::open(source, DebugSearch::default()).expect("headers")
    }
}

fn symbol(name: u32, info: u8, section: u16, value: u64, size: u64) -> Vec<u8> {
    let mut bytes = name.to_le_bytes().to_vec();
    bytes.extend([info, 0]);
    bytes.extend(section.to_le_bytes());
    bytes.extend(value.to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes
}

const GLOBAL_FUNCTION: u8 = 0x12;
const LOCAL_FUNCTION: u8 = 0x02;
const WEAK_FUNCTION: u8 = 0x22;

#[test]
fn the_symbol_that_is_meant() {
    let names = b"\0f\0g@V1\0g@@V2\0outer\0inner\0und\0end\0";
    let symbols = [
        symbol(0, 0, 0, 0, 0),
        symbol(1, LOCAL_FUNCTION, 1, 0x1000, 4),
        symbol(1, WEAK_FUNCTION, 1, 0x1010, 4),
        symbol(1, GLOBAL_FUNCTION, 1, 0x1020, 4),
        symbol(1, GLOBAL_FUNCTION, 1, 0x1020, 4),
        symbol(3, GLOBAL_FUNCTION, 1, 0x1030, 4),
        symbol(8, GLOBAL_FUNCTION, 1, 0x1040, 4),
        symbol(14, GLOBAL_FUNCTION, 1, 0x1100, 0x100),
        symbol(20, LOCAL_FUNCTION, 1, 0x1140, 0x10),
        symbol(26, GLOBAL_FUNCTION, 0, 0x1200, 0x10),
        symbol(30, 0x10, 1, 0x1800, 0),
    ];
    let object = Writer::default()
        .section(".text", SHT_PROGBITS, SHF_ALLOC | 4, vec![0; 0x1000])
        .section(".symtab", SHT_SYMTAB, 0, symbols.concat())
        .section(".strtab", SHT_STRTAB, 0, names.to_vec())
        .object();
    let value = |name: &str| object.by_name(name.as_bytes()).map(|s| s.value);
    assert_eq!(value("f"), Some(0x1020));
    assert_eq!(value("g"), Some(0x1040));
    assert_eq!(value("und"), None);
    assert_eq!(value("g@V1"), None);
    assert_eq!(object.symbol_count(), 8);
    let at = |addr| {
        let place = object.at(addr)?;
        Some((String::from_utf8(place.name).unwrap(), addr - place.value))
    };
    let is = |name: &str, offset| Some((name.to_owned(), offset));
    assert_eq!(at(0x1100), is("outer", 0));
    assert_eq!(at(0x1145), is("inner", 5));
    assert_eq!(at(0x1150), is("outer", 0x50));
    assert_eq!(at(0x11ff), is("outer", 0xff));
    // Its size is known, and this is behind it.
    assert_eq!(at(0x1200), None);
    assert_eq!(at(0x1fff), is("end", 0x7ff));
    // Another section, or none.
    assert_eq!(at(0x2000), None);
    assert_eq!(at(0xfff), None);
    assert_eq!(object.at(0x1145).unwrap().kind, Kind::Function);
    assert_eq!(object.damage(), []);
}

#[test]
fn names_that_share_all_their_bytes() {
    // Each symbol has a name that is nearly as long as the table.
    let count = 200_000;
    let mut names = vec![b'n'; 16_000];
    names[0] = 0;
    names.push(0);
    let symbols: Vec<u8> = (0..count)
        .flat_map(|n| symbol(1 + n % 50, GLOBAL_FUNCTION, 1, u64::from(n), 1))
        .collect();
    let object = Writer::default()
        .section(".symtab", SHT_SYMTAB, 0, symbols)
        .section(".strtab", SHT_STRTAB, 0, names)
        .object();
    assert_eq!(object.by_name(b"f"), None);
    let damage = object.damage();
    assert!(matches!(damage[..], [Error::TooLarge { .. }]), "{damage:?}");
    // What was read until then is there.
    assert!(object.symbol_count() > 1000);
}

#[test]
fn many_symbols_of_one_name() {
    let symbols: Vec<u8> = (0..500_000)
        .flat_map(|n| symbol(1, LOCAL_FUNCTION, 1, n, u64::MAX))
        .collect();
    let object = Writer::default()
        .section(".symtab", SHT_SYMTAB, 0, symbols)
        .section(".strtab", SHT_STRTAB, 0, b"\0f\0".to_vec())
        .object();
    assert_eq!(object.by_name(b"f").map(|s| s.value), Some(0));
    assert_eq!(
        object.at(u64::MAX - 1).map(|place| place.value),
        Some(499_999)
    );
}

#[test]
fn sections_that_are_not_there() {
    let object = Writer::default()
        .section(".symtab", SHT_SYMTAB, 0, vec![])
        .size(u64::MAX)
        .section(".strtab", SHT_STRTAB, 0, vec![])
        .object();
    assert_eq!(object.by_name(b"f"), None);
    assert!(matches!(object.damage()[..], [Error::TooLarge { .. }]));

    let object = Writer::default()
        .section(".symtab", SHT_SYMTAB, 0, vec![])
        .size(24 * limits::SYMBOLS)
        .section(".strtab", SHT_STRTAB, 0, vec![])
        .object();
    assert_eq!(object.by_name(b"f"), None);
    let damage = object.damage();
    assert!(matches!(damage[..], [Error::Corrupt { .. }]), "{damage:?}");
    assert!(
        damage[0]
            .to_string()
            .starts_with("made up: damaged: symbols at 0x")
    );
}

#[test]
fn a_packed_section_that_claims_to_be_huge() {
    for (size, kind) in [
        (u64::MAX, 1_u32),
        (limits::DEBUG_SECTION, 1),
        (100, 1),
        (100, 2),
        (100, 99),
    ] {
        let mut packed = kind.to_le_bytes().to_vec();
        packed.extend([0; 4]);
        packed.extend(size.to_le_bytes());
        packed.extend([0; 8]);
        packed.extend([0x78, 0x9c, 1, 2, 3, 4]);
        let object = Writer::default()
            .section(".debug_info", SHT_PROGBITS, SHF_COMPRESSED, packed)
            .object();
        let error = object.locate(0x1000).unwrap_err();
        let expected = match (size, kind) {
            (100, 1) => "made up: damaged: a packed section at 0x40",
            (100, _) => "made up: this kind of packed section not supported",
            _ => "made up: a packed section too large",
        };
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}

#[test]
fn an_expression_that_never_ends() {
    // CIE: version 1, no augmentation, DW_CFA_def_cfa_expression of
    // DW_OP_skip to itself.
    let mut cie = vec![0, 0, 0, 0, 1, 0, 1, 0x78, 16, 0x0f, 3, 0x2f, 0xfd, 0xff];
    cie.resize(cie.len().next_multiple_of(8) + 4, 0);
    let mut section = (cie.len() as u32).to_le_bytes().to_vec();
    section.extend(&cie);
    let back = section.len() as u32 + 4;
    let mut fde = back.to_le_bytes().to_vec();
    fde.extend(0x1000_u64.to_le_bytes());
    fde.extend(0x100_u64.to_le_bytes());
    section.extend((fde.len() as u32).to_le_bytes());
    section.extend(fde);
    section.extend([0; 4]);
    let object = Writer::default()
        .section(".eh_frame", SHT_PROGBITS, SHF_ALLOC, section)
        .object();
    assert!(object.is_described(0x1050));
    assert_eq!(object.functions().len(), 1);
    let registers = Registers::with(0x1050, 0x7000, None);
    let caller = object.unwind(0x1050, 0, &registers, &mut |_| Some(0x1060));
    assert_eq!(caller, None);
}

fn unit(entries: &[u8]) -> Vec<u8> {
    let mut unit = ((entries.len() + 7) as u32).to_le_bytes().to_vec();
    // Version 4, abbreviations at 0, addresses of eight bytes.
    unit.extend([4, 0, 0, 0, 0, 0, 8]);
    unit.extend(entries);
    unit
}

/// 1: unit, 2: function, 3: inlined function, 4: function with a list of
/// ranges. All have children; 1 to 3 an address and a size of four bytes.
fn abbreviations() -> Vec<u8> {
    let mut table = Vec::new();
    for (code, tag) in [(1, 0x11), (2, 0x2e), (3, 0x1d)] {
        table.extend([code, tag, 1, 0x11, 0x01, 0x12, 0x06, 0, 0]);
    }
    table.extend([4, 0x2e, 1, 0x55, 0x17, 0, 0, 0]);
    table
}

fn entry(code: u8, addr: u64, size: u32) -> Vec<u8> {
    let mut entry = vec![code];
    entry.extend(addr.to_le_bytes());
    entry.extend(size.to_le_bytes());
    entry
}

#[test]
fn functions_that_are_inlined_without_end() {
    let mut entries = entry(1, 0x1000, 0x100);
    entries.extend(entry(2, 0x1000, 0x100));
    for _ in 0..300_000 {
        entries.extend(entry(3, 0x1000, 0x100));
    }
    let object = Writer::default()
        .section(".debug_info", SHT_PROGBITS, 0, unit(&entries))
        .section(".debug_abbrev", SHT_PROGBITS, 0, abbreviations())
        .object();
    assert_eq!(object.locate(0x1050).unwrap().len(), limits::INLINED);
}

#[test]
fn more_address_ranges_than_there_is_memory() {
    // Each of many functions has the same long list.
    let mut entries = entry(1, 0x1000, 0x100);
    for _ in 0..100_000 {
        entries.extend([4, 0, 0, 0, 0]);
    }
    let mut ranges = Vec::new();
    for n in 1..200_000_u64 {
        ranges.extend(n.to_le_bytes());
        ranges.extend((n + 1).to_le_bytes());
    }
    let object = Writer::default()
        .section(".debug_info", SHT_PROGBITS, 0, unit(&entries))
        .section(".debug_abbrev", SHT_PROGBITS, 0, abbreviations())
        .section(".debug_ranges", SHT_PROGBITS, 0, ranges)
        .object();
    let error = object.locate(0x1050).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

#[test]
fn tables_of_abbreviations_that_overlap() {
    // A long table, and units that each begin one entry further.
    let one = [1, 0x11, 1, 0x11, 0x01, 0x12, 0x06, 0, 0];
    let mut table = one.repeat(100_000);
    table.push(0);
    let units: Vec<u8> = (0..100_000_u32)
        .flat_map(|n| {
            let mut unit = unit(&entry(1, 0x1000, 0x100));
            unit[6..10].copy_from_slice(&(n * one.len() as u32).to_le_bytes());
            unit
        })
        .collect();
    let object = Writer::default()
        .section(".debug_info", SHT_PROGBITS, 0, units)
        .section(".debug_abbrev", SHT_PROGBITS, 0, table)
        .object();
    let error = object.locate(0x1050).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}
