//! Call frame information: .eh_frame, which stripped programs have too. It says
//! where functions begin and end, and how to leave each of them.

use std::rc::Rc;

use gimli::{BaseAddresses, CieOrFde, EhFrame, EndianRcSlice, LittleEndian, UnwindSection};
use object::elf;
use rustc_hash::FxHashMap;

use crate::elf::{Elf, u32_at};
use crate::error::Error;
use crate::limits;
use crate::source::Source;

pub(crate) type Reader = EndianRcSlice<LittleEndian>;

/// One description: what it covers, and where it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Described {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) offset: usize,
}

#[derive(Debug)]
pub(crate) struct Frames {
    pub(crate) section: EhFrame<Reader>,
    pub(crate) bases: BaseAddresses,
    /// By address.
    pub(crate) functions: Vec<Described>,
    pub(crate) damage: Option<Error>,
}

impl Frames {
    /// `None` when there is no such information.
    pub(crate) fn parse(elf: &Elf, source: &Source) -> Option<Self> {
        match read(elf, source) {
            Ok(Some((addr, bytes))) => Some(Self::index(elf, source, addr, bytes)),
            Ok(None) => None,
            Err(error) => Some(Self {
                section: EhFrame::from(EndianRcSlice::new(Rc::new([]), LittleEndian)),
                bases: BaseAddresses::default(),
                functions: Vec::new(),
                damage: Some(error),
            }),
        }
    }

    fn index(elf: &Elf, source: &Source, addr: u64, bytes: Rc<[u8]>) -> Self {
        let mut section = EhFrame::from(EndianRcSlice::new(bytes, LittleEndian));
        section.set_address_size(if elf.wide { 8 } else { 4 });
        let mut bases = BaseAddresses::default().set_eh_frame(addr);
        if let Some(text) = elf.section(b".text") {
            bases = bases.set_text(text.addr);
        }
        if let Some(got) = elf.section(b".got") {
            bases = bases.set_got(got.addr);
        }
        let (mut functions, damage) = list(&section, &bases);
        functions.sort_unstable();
        Self {
            section,
            bases,
            functions,
            damage: damage.then(|| source.corrupt("unwind information", addr)),
        }
    }

    /// What covers an address.
    pub(crate) fn covering(&self, vaddr: u64) -> Option<Described> {
        let behind = self.functions.partition_point(|f| f.start <= vaddr);
        let function = self.functions[..behind].last()?;
        (function.end > vaddr).then_some(*function)
    }
}

/// All descriptions, and whether that is the list of a damaged section up to
/// the damage.
fn list(section: &EhFrame<Reader>, bases: &BaseAddresses) -> (Vec<Described>, bool) {
    let mut functions = Vec::new();
    // Each common part is read once, however many descriptions refer to it.
    let mut common = FxHashMap::default();
    let mut entries = section.entries(bases);
    loop {
        let partial = match entries.next() {
            Ok(Some(CieOrFde::Fde(partial))) => partial,
            Ok(Some(CieOrFde::Cie(_))) => continue,
            Ok(None) => return (functions, false),
            Err(_) => return (functions, true),
        };
        let parsed = partial.parse(|section, bases, offset| {
            common
                .entry(offset)
                .or_insert_with(|| section.cie_from_offset(bases, offset))
                .clone()
        });
        let Ok(fde) = parsed else {
            return (functions, true);
        };
        if functions.len() >= limits::FRAMES {
            return (functions, true);
        }
        if fde.len() > 0
            && let Some(end) = fde.initial_address().checked_add(fde.len())
        {
            functions.push(Described {
                start: fde.initial_address(),
                end,
                offset: fde.offset(),
            });
        }
    }
}

/// An address, and the bytes there.
type Loaded = (u64, Rc<[u8]>);

/// Address and bytes of .eh_frame, found by its section, or from the segment
/// that says where it is for the program itself.
fn read(elf: &Elf, source: &Source) -> Result<Option<Loaded>, Error> {
    let what = "unwind information";
    if let Some(section) = elf.section(b".eh_frame").filter(|s| s.has_bytes()) {
        let (at, len) = (section.offset, section.size);
        let bytes = source.read_shared(what, at, len, limits::SECTION)?;
        return Ok(Some((section.addr, bytes)));
    }
    let Some(header) = elf
        .segments
        .iter()
        .find(|s| s.kind == elf::PT_GNU_EH_FRAME && s.file_size >= 8)
    else {
        return Ok(None);
    };
    // Version, encodings, and a pointer to .eh_frame, which every linker makes
    // four bytes relative to itself (LSB Core, "The .eh_frame_hdr section").
    let bytes = elf.read_at(source, what, header.vaddr, 8, 8)?;
    if bytes[..2] != [1, 0x1b] {
        return Err(source.unsupported("this kind of .eh_frame_hdr"));
    }
    let distance = u32_at(&bytes, 4).unwrap_or(0).cast_signed();
    let addr = (header.vaddr.wrapping_add(4)).wrapping_add_signed(distance.into());
    let bytes = elf.read_from(source, what, addr, limits::SECTION)?;
    Ok(Some((addr, bytes.into())))
}
