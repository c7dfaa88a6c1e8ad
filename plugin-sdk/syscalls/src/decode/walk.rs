//! Follows a description through registers and memory.
//!
//! The same walk finds out what has to be read, on the side of the tracer, and makes
//! values of what was read, on the side of whoever looks at them: what a [`Memory`]
//! and a [`Build`] do with it differs.

use crate::abi::Abi;

use super::captured::{STACK, When};
use super::ends::{Build, Memory, Purpose};
use super::layout;
use super::limits::Limits;
use super::schema::{Call, Dir, Len, Look, Struct, Type, Width};
use super::view::View;

mod bytes;

/// Names of files are read up to here (PATH_MAX in linux/limits.h).
pub(crate) const PATH_MAX: usize = 4096;
/// Structures in structures, pointers to pointers: more than any description has.
const MAX_DEPTH: u32 = 12;
/// Pointers followed and elements made in one call: arrays of arrays, each at its
/// limit, are more than anybody reads.
const MAX_OBJECTS: u32 = 1 << 16;
/// Bytes of buffers and of text made in one call: more than can be captured, and less than
/// the same bytes many times are.
const MAX_SHOWN: usize = (1 << 20) + (128 << 10);
/// Of structures with a size of their own this much is read.
const MAX_SIZED: usize = 64 << 10;

/// A walk through one call.
pub(crate) struct Walk<'m, M, B> {
    pub(crate) memory: &'m M,
    pub(crate) build: B,
    pub(crate) limits: Limits,
    /// What is left of the result for pieces that share it.
    left: u64,
    depth: u32,
    objects: u32,
    shown: usize,
}

/// The arguments of a call: registers, of which those of 64 bits may take two.
pub(crate) fn arguments(call: &Call, abi: Abi, registers: [u64; 6]) -> [u64; 6] {
    let mut args = [0; 6];
    let mut next = 0;
    let narrow = Width::Long.bytes(abi) == 4;
    for (arg, described) in args.iter_mut().zip(call.args) {
        let at = described.register.map_or(next, usize::from);
        let register = |at: usize| registers.get(at).copied().unwrap_or(0);
        *arg = register(at);
        next = at + 1;
        if narrow {
            *arg &= 0xffff_ffff;
            if let Type::Scalar(Width::W64, _) = described.ty {
                *arg |= register(next) << 32;
                next += 1;
            }
        }
    }
    args
}

/// The description that holds for a call with these registers, and its arguments.
pub(crate) fn picked<'a>(
    call: &'static Call,
    abi: Abi,
    registers: [u64; 6],
    memory: &impl Memory<'a>,
) -> (&'static Call, [u64; 6]) {
    let args = arguments(call, abi, registers);
    let Some(pick) = call.pick else {
        return (call, args);
    };
    let Some(inner) = pick(&View::new(abi, args, None)) else {
        return (call, args);
    };
    if !call.in_memory {
        return (inner, arguments(inner, abi, registers));
    }
    let size = Width::Long.bytes(abi);
    let len = size * inner.args.len();
    let bytes = match args[1] {
        0 => &[],
        addr => memory.get(When::Enter, addr, len, Purpose::Leading),
    };
    let mut inside = [0; 6];
    for (at, arg) in inside.iter_mut().take(inner.args.len()).enumerate() {
        let Some(number) = layout::number(bytes, at * size, size) else {
            return (call, args);
        };
        *arg = number;
    }
    (inner, inside)
}

impl<'m, 'a, M: Memory<'a>, B: Build> Walk<'m, M, B> {
    pub(crate) fn new(memory: &'m M, build: B, limits: Limits) -> Self {
        Self {
            memory,
            build,
            limits,
            left: 0,
            depth: 0,
            objects: 0,
            shown: 0,
        }
    }

    /// The argument of this index, or what `ty` makes of it.
    pub(crate) fn argument(&mut self, ty: &'static Type, index: usize, view: &View<'a>) -> B::Out {
        self.left = u64::try_from(view.ret.unwrap_or(0)).unwrap_or(0);
        let raw = view.arg(index);
        self.register(ty, raw, view)
    }

    /// A value in a register.
    pub(crate) fn register(&mut self, ty: &'static Type, raw: u64, view: &View<'a>) -> B::Out {
        match ty {
            Type::Scalar(width, style) => {
                self.build
                    .scalar(raw, *width, *style, view.abi, When::Enter)
            }
            Type::Pick(pick, _) => {
                let ty = pick(&View { raw, ..*view });
                if matches!(ty, Type::Pick(..)) {
                    return self.build.address(raw);
                }
                self.register(ty, raw, view)
            }
            Type::Special(read, _) | Type::Naming(read, _) => {
                self.build.special(*read, &View { raw, ..*view })
            }
            Type::Then(of, make) => {
                let value = self.register(of, raw, view);
                self.build.then(value, *make, &View { raw, ..*view })
            }
            Type::Stack(offset, ty) => {
                let size = Width::W64.bytes(view.abi);
                let bytes = self.memory.get(When::Enter, STACK, size, Purpose::Leading);
                let top = layout::number(bytes, 0, size);
                let addr = top.map_or(0, |top| top.wrapping_add((*offset).into()));
                self.pointer(ty, addr, When::Enter, view)
            }
            _ => self.pointer(ty, raw, When::Enter, view),
        }
    }

    /// What is in memory. `bytes` may be less than it should be.
    pub(crate) fn object(
        &mut self,
        ty: &'static Type,
        bytes: &'a [u8],
        addr: u64,
        when: When,
        view: &View<'a>,
    ) -> Option<B::Out> {
        let abi = view.abi;
        let here = View {
            bytes,
            addr,
            when,
            ..*view
        };
        match *ty {
            Type::Scalar(width, style) => {
                let value = layout::number(bytes, 0, width.bytes(abi))?;
                Some(self.build.scalar(value, width, style, abi, when))
            }
            Type::Absent | Type::Pad(_) | Type::Stack(..) => None,
            Type::Chars(len) => {
                let text = bytes.get(..len as usize)?;
                let end = text.iter().position(|byte| *byte == 0);
                let text = &text[..end.unwrap_or(text.len())];
                Some(self.build.bytes(text, false, true, Look::Text))
            }
            Type::Raw(len, look) => {
                let bytes = bytes.get(..len as usize)?;
                Some(self.build.bytes(bytes, false, false, look))
            }
            Type::Again(len, of) => {
                let size = self.length(len, when, view);
                let read = usize::try_from(size).unwrap_or(MAX_SIZED).min(MAX_SIZED);
                self.whole(of, addr, read, 0, when, view)
            }
            Type::Tail(len, look) => {
                let len = self.length(len, when, view);
                let bytes = self.buffer(addr, len, look, when);
                Some(bytes.unwrap_or_else(|| self.build.address(addr)))
            }
            Type::Fixed(of, len) => {
                let size = layout::size(of, abi);
                let all = bytes.get(..size * len as usize)?;
                self.items(of, size, u64::from(len), all, addr, when, view)
            }
            Type::Struct(structure) => self.structure(structure, bytes, addr, when, view),
            Type::Pick(pick, _) => {
                let ty = pick(&here);
                if self.depth >= MAX_DEPTH {
                    return None;
                }
                self.depth += 1;
                let value = self.object(ty, bytes, addr, when, view);
                self.depth -= 1;
                value
            }
            Type::Special(read, len) | Type::Naming(read, len) => {
                let bytes = match len {
                    0 => bytes,
                    _ => bytes.get(..len as usize)?,
                };
                let here = View { bytes, ..here };
                Some(match ty {
                    Type::Naming(..) => self.build.naming(read, &here),
                    _ => self.build.special(read, &here),
                })
            }
            Type::Then(of, make) => {
                let value = self.object(of, bytes, addr, when, view)?;
                Some(self.build.then(value, make, &here))
            }
            Type::To(..)
            | Type::Sized(..)
            | Type::Array(..)
            | Type::Bytes(..)
            | Type::Text
            | Type::Path
            | Type::Strings
            | Type::Environ => {
                let target = layout::number(bytes, 0, Width::Long.bytes(abi))?;
                Some(self.pointer(ty, target, when, view))
            }
        }
    }

    fn structure(
        &mut self,
        structure: &'static Struct,
        bytes: &'a [u8],
        addr: u64,
        when: When,
        view: &View<'a>,
    ) -> Option<B::Out> {
        if self.depth >= MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let mut fields = B::Fields::default();
        let mut known = false;
        let mut more = false;
        let mut hidden = false;
        let inside = View {
            size: 0,
            when,
            outer: Some((structure, bytes)),
            ..*view
        };
        for field in structure.fields {
            let place = field.place(view.abi);
            let core::ops::Range { start, end } = place.bytes();
            // What has no size of its own takes all that is left.
            let end = if end == start { bytes.len() } else { end };
            // Of a structure in it there may be only the start, or all but padding.
            let end = match field.ty {
                Type::Struct(_) if bytes.len() > start => end.min(bytes.len()),
                _ => end,
            };
            let Some(part) = bytes.get(start..end) else {
                more = true;
                break;
            };
            known = true;
            if self.limits.brief && field.apart {
                hidden = true;
                continue;
            }
            let value = if field.bits > 0 {
                self.bits(field, part, place.bit.into(), &inside)
            } else {
                self.object(
                    &field.ty,
                    part,
                    addr.wrapping_add(start as u64),
                    when,
                    &inside,
                )
            };
            if let Some(value) = value {
                self.build.field(&mut fields, field, value);
            }
        }
        self.depth -= 1;
        if more && !known {
            // Not even the first field is there.
            return None;
        }
        let here = View {
            bytes,
            addr,
            when,
            outer: Some((structure, bytes)),
            ..*view
        };
        let more = more || hidden;
        Some(self.build.structure(structure, fields, more, &here))
    }

    fn bits(
        &self,
        field: &super::schema::Field,
        bytes: &[u8],
        bit: u32,
        view: &View<'a>,
    ) -> Option<B::Out> {
        let Type::Scalar(width, style) = field.ty else {
            return None;
        };
        let whole = layout::number(bytes, 0, bytes.len())?;
        let mask = u64::MAX >> (64 - u32::from(field.bits).min(64));
        let value = whole >> bit & mask;
        let View { abi, when, .. } = *view;
        Some(self.build.scalar(value, width, style, abi, when))
    }

    #[expect(clippy::too_many_arguments, reason = "an array is all of these")]
    fn items(
        &mut self,
        of: &'static Type,
        size: usize,
        count: u64,
        bytes: &'a [u8],
        addr: u64,
        when: When,
        view: &View<'a>,
    ) -> Option<B::Out> {
        let mut items = B::Items::default();
        let mut done = 0;
        let most = (self.limits.items as u64).min(count);
        if size > 0 {
            for part in bytes.chunks_exact(size) {
                if done == most || !self.one_more() {
                    break;
                }
                let at = addr.wrapping_add(done * size as u64);
                let Some(value) = self.object(of, part, at, when, view) else {
                    break;
                };
                self.build.item(&mut items, value);
                done += 1;
            }
        }
        let more = (done < count).then(|| addr.wrapping_add(done * size as u64));
        Some(self.build.array(items, more, done < most))
    }

    /// Whether there may be one more object, which there then is.
    fn one_more(&mut self) -> bool {
        self.objects = self.objects.saturating_add(1);
        self.objects <= MAX_OBJECTS
    }

    /// What a pointer that was read at `when` leads to.
    fn pointer(&mut self, ty: &'static Type, addr: u64, when: When, view: &View<'a>) -> B::Out {
        if addr == 0 || self.depth >= MAX_DEPTH || !self.one_more() {
            return self.build.address(addr);
        }
        self.depth += 1;
        let value = self.target(ty, addr, when, view);
        self.depth -= 1;
        value.unwrap_or_else(|| self.build.address(addr))
    }

    fn target(
        &mut self,
        ty: &'static Type,
        addr: u64,
        from: When,
        view: &View<'a>,
    ) -> Option<B::Out> {
        match *ty {
            Type::To(dir, of) => {
                let size = layout::size(of, view.abi);
                self.twice(dir, from, addr, view, |walk, when| {
                    walk.whole(of, addr, size, size, when, view)
                })
            }
            Type::Sized(dir, len, of) => self.twice(dir, from, addr, view, |walk, when| {
                let size = walk.length(len, when, view);
                let read = usize::try_from(size).unwrap_or(MAX_SIZED).min(MAX_SIZED);
                walk.whole(of, addr, read, 0, when, view)
            }),
            Type::Array(dir, of, len) => self.twice(dir, from, addr, view, |walk, when| {
                let count = walk.length(len, when, view);
                let size = layout::size(of, view.abi);
                // What no memory holds is no array.
                let end = count.checked_mul(size as u64);
                end.and_then(|end| addr.checked_add(end))?;
                // Whether it is there shows even where nothing of it does.
                let most = (walk.limits.items.max(1) as u64).min(count);
                let read = size * usize::try_from(most).unwrap_or(0);
                let purpose = Purpose::of(of);
                let bytes = walk.memory.get(when, addr, read, purpose);
                if bytes.len() < size.min(read) {
                    return None;
                }
                walk.items(of, size, count, bytes, addr, when, view)
            }),
            Type::Bytes(dir, len, look) => self.twice(dir, from, addr, view, |walk, when| {
                let len = walk.length(len, when, view);
                walk.buffer(addr, len, look, when)
            }),
            Type::Text => self.text(addr, from, self.limits.text, false),
            // The NUL byte is among those.
            Type::Path => self.text(addr, from, PATH_MAX - 1, true),
            Type::Strings => self.strings(addr, from, view),
            Type::Environ => self.environment(addr, from, view),
            _ => None,
        }
        .map(|value| self.build.to(addr, value))
    }

    /// Reads before the call, after it, or both.
    fn twice(
        &mut self,
        dir: Dir,
        from: When,
        addr: u64,
        view: &View<'a>,
        mut read: impl FnMut(&mut Self, When) -> Option<B::Out>,
    ) -> Option<B::Out> {
        match dir {
            Dir::In => read(self, from),
            Dir::Out if view.succeeded() => read(self, When::Exit),
            Dir::Always if view.ret.is_some() => read(self, When::Exit),
            Dir::Out | Dir::Always => None,
            Dir::InOut | Dir::InOutAlways
                if view.succeeded() || dir == Dir::InOutAlways && view.ret.is_some() =>
            {
                let left = self.left;
                let before = read(self, from);
                self.left = left;
                let after = read(self, When::Exit);
                match (before, after) {
                    (Some(before), Some(after)) => Some(self.build.changed(addr, before, after)),
                    (before, after) => after.or(before),
                }
            }
            Dir::InOut | Dir::InOutAlways => read(self, from),
        }
    }

    /// One object; nothing if not even `least` bytes of it are there.
    fn whole(
        &mut self,
        of: &'static Type,
        addr: u64,
        size: usize,
        least: usize,
        when: When,
        view: &View<'a>,
    ) -> Option<B::Out> {
        let bytes = self.memory.get(when, addr, size, Purpose::of(of));
        if bytes.len() < least || bytes.is_empty() && size > 0 {
            return None;
        }
        self.object(of, bytes, addr, when, &View { size, ..*view })
    }

    fn length(&mut self, len: Len, when: When, view: &View<'a>) -> u64 {
        let of_field = |name| view.field(name).unwrap_or(0);
        match len {
            Len::Fixed(len) => len.into(),
            Len::Arg(index) => view.arg(index.into()),
            Len::Ret => u64::try_from(view.ret.unwrap_or(0)).unwrap_or(0),
            Len::At(index) => {
                let at = view.arg(index.into());
                let size = Width::W32.bytes(view.abi);
                let value = |when| {
                    let bytes = self.memory.get(when, at, size, Purpose::Leading);
                    layout::number(bytes, 0, size)
                };
                let before = value(When::Enter);
                let after = match when {
                    When::Enter => None,
                    When::Exit => value(When::Exit),
                };
                let least = before.into_iter().chain(after).min();
                least.unwrap_or(0)
            }
            Len::Field(name) => of_field(name),
            Len::Shared(name) => {
                let len = of_field(name).min(self.left);
                self.left -= len;
                len
            }
            Len::With(read) => read(&View { when, ..*view }),
            Len::Map(len, make) => make(self.length(*len, when, view)),
        }
    }
}
