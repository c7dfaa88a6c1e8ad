//! Sizes and offsets, as C compilers choose them.

use crate::abi::{self, Abi};

use super::schema::{Struct, Type, Width};

/// The size of a type in memory, 0 if it depends on more than the ABI.
#[must_use]
pub(crate) fn size(ty: &Type, abi: Abi) -> usize {
    match *ty {
        Type::Scalar(width, _) => width.bytes(abi),
        Type::Absent | Type::Tail(..) | Type::Stack(..) | Type::Again(..) => 0,
        Type::Pad(len) | Type::Chars(len) | Type::Raw(len, _) | Type::Special(_, len) => {
            len as usize
        }
        Type::Pick(_, len) => len as usize,
        Type::Then(of, _) => size(of, abi),
        Type::Fixed(of, len) => size(of, abi) * len as usize,
        Type::Struct(structure) => struct_size(structure, abi),
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
fn alignment(ty: &Type, abi: Abi) -> usize {
    match *ty {
        // System V ABI for i386: a `long long` in a structure is aligned to 4.
        Type::Scalar(Width::W64, _) if abi == abi::I386 => 4,
        Type::Scalar(width, _) => width.bytes(abi),
        Type::Fixed(of, _) | Type::Then(of, _) => alignment(of, abi),
        Type::Struct(structure) => struct_alignment(structure, abi),
        // A union may hold a pointer; those that do not are of other sizes.
        Type::Pick(_, len) if len > 0 && len.is_multiple_of(Width::Long.bytes(abi) as u32) => {
            Width::Long.bytes(abi)
        }
        Type::Absent
        | Type::Pad(_)
        | Type::Tail(..)
        | Type::Stack(..)
        | Type::Again(..)
        | Type::Chars(_)
        | Type::Raw(..)
        | Type::Special(..)
        | Type::Pick(..) => 1,
        _ => Width::Long.bytes(abi),
    }
}

fn struct_alignment(structure: &Struct, abi: Abi) -> usize {
    if structure.packed {
        return 1;
    }
    let of = |field: &super::schema::Field| alignment(&field.ty, abi);
    structure.fields.iter().map(of).max().unwrap_or(1)
}

/// The size of a structure.
#[must_use]
pub(crate) fn struct_size(structure: &Struct, abi: Abi) -> usize {
    let end = Places::new(structure, abi)
        .map(|at| at.end)
        .max()
        .unwrap_or(0);
    aligned(end, struct_alignment(structure, abi))
}

/// The next multiple of a power of two.
fn aligned(offset: usize, alignment: usize) -> usize {
    (offset + alignment - 1) & !(alignment - 1)
}

/// Where a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Of the field, or of the number that it shares with other bit fields.
    pub(crate) offset: usize,
    /// Behind that.
    pub(crate) end: usize,
    /// The lowest bit of a bit field.
    pub(crate) bit: u32,
}

/// The places of the fields of a structure, one after the other.
pub(crate) struct Places<'s> {
    structure: &'s Struct,
    abi: Abi,
    next: usize,
    end: usize,
    /// The number that holds the last bit field, and its next free bit.
    shared: Option<(Place, u32)>,
}

impl<'s> Places<'s> {
    pub(crate) fn new(structure: &'s Struct, abi: Abi) -> Self {
        Self {
            structure,
            abi,
            next: 0,
            end: 0,
            shared: None,
        }
    }
}

impl Iterator for Places<'_> {
    type Item = Place;

    fn next(&mut self) -> Option<Place> {
        let field = self.structure.fields.get(self.next)?;
        self.next += 1;
        let size = size(&field.ty, self.abi);
        let bits = u32::from(field.bits);
        if let Some((place, free)) = self.shared
            && bits > 0
            && place.end - place.offset == size
            && free + bits <= size as u32 * 8
        {
            self.shared = Some((place, free + bits));
            return Some(Place { bit: free, ..place });
        }
        let alignment = match self.structure.packed {
            true => 1,
            false => alignment(&field.ty, self.abi),
        };
        let offset = aligned(self.end, alignment);
        self.end = offset + size;
        let place = Place {
            offset,
            end: self.end,
            bit: 0,
        };
        self.shared = (bits > 0).then_some((place, bits));
        Some(place)
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
    let mut places = structure.fields.iter().zip(Places::new(structure, abi));
    let (_, place) = places.find(|(field, _)| field.name == name)?;
    number(bytes, place.offset, place.end - place.offset)
}
