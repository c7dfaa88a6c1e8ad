//! Sizes and offsets, as C compilers choose them.

use crate::abi::{self, Abi};

use super::schema::{Field, Struct, Type, Width};

/// Sizes of types, as far as they differ between ABIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    /// Long and pointers have 64 bits: x86_64, aarch64.
    Lp64,
    /// All have 32 bits, and `long long` in a structure is aligned to 4 (System V ABI
    /// for i386).
    I386,
}

impl Model {
    /// In the order of their numbers.
    pub(crate) const ALL: [Self; 2] = [Self::Lp64, Self::I386];

    pub(crate) const fn of(abi: Abi) -> Self {
        match abi {
            abi::I386 => Self::I386,
            _ => Self::Lp64,
        }
    }

    const fn abi(self) -> Abi {
        match self {
            Self::Lp64 => abi::X86_64,
            Self::I386 => abi::I386,
        }
    }
}

/// Where a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Of the field, or of the number that it shares with other bit fields.
    pub(crate) offset: u32,
    /// Behind that.
    pub(crate) end: u32,
    /// The lowest bit of a bit field.
    pub(crate) bit: u8,
}

impl Place {
    /// Its bytes: none if it has no size of its own.
    pub(crate) fn bytes(self) -> core::ops::Range<usize> {
        self.offset as usize..self.end as usize
    }
}

/// Of a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// In bytes, with the padding at its end.
    pub(crate) size: u32,
    /// What its offset is a multiple of.
    pub(crate) alignment: u32,
}

/// Of a field that [`placed`] has not seen yet.
pub(crate) const UNPLACED: [Place; Model::ALL.len()] = [Place {
    offset: 0,
    end: 0,
    bit: 0,
}; Model::ALL.len()];

/// The size of a type in memory, 0 if it depends on more than the ABI.
#[must_use]
pub(crate) const fn size(ty: &Type, abi: Abi) -> usize {
    match ty {
        Type::Scalar(width, _) => width.bytes(abi),
        Type::Absent | Type::Tail(..) | Type::Stack(..) | Type::Again(..) => 0,
        Type::Pad(len)
        | Type::Chars(len)
        | Type::Raw(len, _)
        | Type::Special(_, len)
        | Type::Naming(_, len) => *len as usize,
        Type::Pick(_, len) => *len as usize,
        Type::Then(of, _) => size(of, abi),
        Type::Fixed(of, len) => size(of, abi) * *len as usize,
        Type::Struct(structure) => structure.layout(abi).size as usize,
        Type::To(..)
        | Type::Sized(..)
        | Type::Array(..)
        | Type::Bytes(..)
        | Type::Text
        | Type::Path
        | Type::Strings
        | Type::Environ => Width::Long.bytes(abi),
    }
}

/// What the offset of a field of this type is a multiple of.
const fn alignment(ty: &Type, abi: Abi) -> usize {
    let long = Width::Long.bytes(abi);
    match ty {
        Type::Scalar(Width::W64, _) => long,
        Type::Scalar(width, _) => width.bytes(abi),
        Type::Fixed(of, _) | Type::Then(of, _) => alignment(of, abi),
        Type::Struct(structure) => structure.layout(abi).alignment as usize,
        // A union may hold a pointer; those that do not are of other sizes.
        Type::Pick(_, len) if *len > 0 && (*len as usize).is_multiple_of(long) => long,
        Type::Absent
        | Type::Pad(_)
        | Type::Tail(..)
        | Type::Stack(..)
        | Type::Again(..)
        | Type::Chars(_)
        | Type::Raw(..)
        | Type::Special(..)
        | Type::Naming(..)
        | Type::Pick(..) => 1,
        _ => long,
    }
}

/// The next multiple of a power of two.
const fn aligned(offset: usize, alignment: usize) -> usize {
    (offset + alignment - 1) & !(alignment - 1)
}

/// Fields that know where they are. Loops, since this runs in the compiler.
pub(crate) const fn placed<const N: usize>(mut fields: [Field; N], packed: bool) -> [Field; N] {
    let mut model = 0;
    while model < Model::ALL.len() {
        let abi = Model::ALL[model].abi();
        let mut end = 0;
        // The number that holds the last bit field, and its next free bit.
        let mut shared: Option<(Place, u8)> = None;
        let mut index = 0;
        while index < N {
            let ty = &fields[index].ty;
            let (size, bits) = (size(ty, abi), fields[index].bits);
            let place = match shared {
                Some((place, free))
                    if bits > 0
                        && (place.end - place.offset) as usize == size
                        && (free + bits) as usize <= size * 8 =>
                {
                    Place { bit: free, ..place }
                }
                _ => {
                    let alignment = if packed { 1 } else { alignment(ty, abi) };
                    let offset = aligned(end, alignment);
                    end = offset + size;
                    Place {
                        offset: offset as u32,
                        end: end as u32,
                        bit: 0,
                    }
                }
            };
            shared = match bits {
                0 => None,
                bits => Some((place, place.bit + bits)),
            };
            fields[index].places[model] = place;
            index += 1;
        }
        model += 1;
    }
    fields
}

/// The layouts of a structure with such fields.
pub(crate) const fn of_fields(fields: &[Field], packed: bool) -> [Layout; Model::ALL.len()] {
    let mut layouts = [Layout {
        size: 0,
        alignment: 1,
    }; Model::ALL.len()];
    let mut model = 0;
    while model < Model::ALL.len() {
        let abi = Model::ALL[model].abi();
        let (mut end, mut most) = (0, 1);
        let mut index = 0;
        while index < fields.len() {
            let field = &fields[index];
            let alignment = if packed { 1 } else { alignment(&field.ty, abi) };
            if alignment > most {
                most = alignment;
            }
            if field.places[model].end > end {
                end = field.places[model].end;
            }
            index += 1;
        }
        layouts[model] = Layout {
            size: aligned(end as usize, most) as u32,
            alignment: most as u32,
        };
        model += 1;
    }
    layouts
}

impl Field {
    /// Where it is.
    pub(crate) const fn place(&self, abi: Abi) -> Place {
        self.places[Model::of(abi) as usize]
    }
}

impl Struct {
    /// Its size and alignment.
    pub(crate) const fn layout(&self, abi: Abi) -> Layout {
        self.layouts[Model::of(abi) as usize]
    }
}

/// A little-endian number of 1 to 8 bytes.
#[must_use]
pub(crate) fn number(bytes: &[u8], offset: usize, len: usize) -> Option<u64> {
    let bytes = bytes.get(offset..offset.checked_add(len)?)?;
    let mut whole = [0; 8];
    whole.get_mut(..len)?.copy_from_slice(bytes);
    Some(u64::from_le_bytes(whole))
}

/// The value of a scalar field.
pub(crate) fn field(structure: &Struct, name: &str, bytes: &[u8], abi: Abi) -> Option<u64> {
    let field = structure.fields.iter().find(|field| field.name == name)?;
    let place = field.place(abi).bytes();
    number(bytes, place.start, place.len())
}
