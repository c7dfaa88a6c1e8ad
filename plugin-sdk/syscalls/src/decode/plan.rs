//! What has to be read at a stop.

use alloc::vec::Vec;
use core::cell::RefCell;

use crate::abi::Abi;

use super::ask::AT_FDCWD;
use super::captured::{Captured, When};
use super::ends::{Build, Memory, Purpose};
use super::limits::Limits;
use super::schema::{Call, Look, Struct, Style, Type, Width};
use super::value::Value;
use super::view::View;
use super::walk::{Walk, picked};

/// A piece of a target's memory that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Where it is.
    pub addr: u64,
    /// How much of it.
    pub len: usize,
    /// What is behind the first NUL byte is of no interest.
    pub text: bool,
    /// More may be wanted once this is known.
    pub leads: bool,
}

/// How much of a name of a file is read at first: nearly all are shorter.
const PATH_FIRST: usize = 256;
/// Memory is there or not by pages of this size at least.
const PAGE: u64 = 4096;
/// How much more of a text is read when that was not all of it.
const TEXT_GROWTH: usize = 16;
/// No memory is asked for beyond this many pieces in one call, whatever it says: all that
/// [`Limits::ALL`] shows, and what leads to it.
pub const MAX_WANTS: usize = Limits::ALL + 256;

/// Adds to `asked` what is wanted next for a call, when so much is known. For the
/// exit, `ret` is the result.
///
/// A description leads from one piece to the next, so that this is asked again when
/// the pieces have been read, with what was asked for at this stop before, until
/// nothing is added.
pub fn wants(
    call: &'static Call,
    abi: Abi,
    registers: [u64; 6],
    ret: Option<i64>,
    limits: Limits,
    known: &Captured<'_>,
    asked: &mut Vec<Want>,
) {
    // Half of all stops end here.
    if call.reads.at(now(ret)) {
        walk(call, abi, registers, ret, limits, known, asked);
    }
}

/// Which end of a call has this result.
fn now(ret: Option<i64>) -> When {
    match ret {
        Some(_) => When::Exit,
        None => When::Enter,
    }
}

/// As [`wants`], whatever [`Call::reads`] says.
pub(crate) fn walk(
    call: &'static Call,
    abi: Abi,
    registers: [u64; 6],
    ret: Option<i64>,
    limits: Limits,
    known: &Captured<'_>,
    asked: &mut Vec<Want>,
) {
    let memory = Planned {
        known,
        now: now(ret),
        asked: RefCell::new(asked),
    };
    let (call, args) = picked(call, abi, registers, &memory);
    let view = View {
        limits,
        ..View::new(abi, args, ret)
    };
    let mut walk = Walk::new(&memory, Notes(None), limits);
    for (index, arg) in call.args.iter().enumerate() {
        if !matches!(arg.ty, Type::Scalar(..)) {
            walk.argument(&arg.ty, index, &view);
        }
    }
    if view.succeeded() {
        for (index, ty) in call.ret.also {
            walk.argument(ty, usize::from(*index), &view);
        }
    }
}

/// What a call names by numbers.
#[derive(Clone, Debug, Default)]
pub struct Mentioned {
    /// File descriptors.
    pub descriptors: Vec<i32>,
    /// Processes and tasks.
    pub tasks: Vec<i32>,
}

/// No more of either is noted of one call, whatever it says: as many as there are
/// descriptors in a set of select(2).
const MAX_MENTIONED: usize = 1024;

/// The descriptors and tasks that a call takes, or, if `ret` is given, has returned, as
/// far as so much memory shows.
pub fn mentioned(
    call: &'static Call,
    abi: Abi,
    registers: [u64; 6],
    ret: Option<i64>,
    limits: Limits,
    known: &Captured<'_>,
    out: &mut Mentioned,
) {
    let (call, args) = picked(call, abi, registers, known);
    let view = View {
        limits,
        ..View::new(abi, args, ret)
    };
    let out = RefCell::new(out);
    let noted = |when| Notes(Some(Noted { when, out: &out }));
    if let Some(ret) = ret
        && view.succeeded()
    {
        // A register as those of the entry are, for the walk.
        let mut walk = Walk::new(known, noted(When::Enter), limits);
        walk.register(&call.ret.ty, ret.cast_unsigned(), &view);
    }
    let mut walk = Walk::new(known, noted(now(ret)), limits);
    for (index, arg) in call.args.iter().enumerate() {
        walk.argument(&arg.ty, index, &view);
    }
}

struct Planned<'k, 'w> {
    known: &'k Captured<'k>,
    now: When,
    asked: RefCell<&'w mut Vec<Want>>,
}

impl<'k> Memory<'k> for Planned<'k, '_> {
    fn get(&self, when: When, addr: u64, len: usize, purpose: Purpose) -> &'k [u8] {
        let known = self.known.get(when, addr, len);
        if when != self.now || len == 0 || known.len() == len {
            return known;
        }
        let text = purpose == Purpose::Text;
        if text && known.contains(&0) {
            return known;
        }
        if !known.is_empty() && self.is_cut(when, addr, known.len()) {
            return known;
        }
        // Nearly all text is short, and ends in its page.
        let len = match known.len() {
            _ if !text => len,
            0 => len.min(PATH_FIRST).min(to_end_of_page(addr)),
            read => len.min((read.max(PATH_FIRST)).saturating_mul(TEXT_GROWTH)),
        };
        let want = Want {
            addr,
            len,
            text,
            leads: purpose == Purpose::Leading,
        };
        let mut asked = self.asked.borrow_mut();
        if asked.len() < MAX_WANTS && !asked.contains(&want) {
            asked.push(want);
        }
        known
    }

    fn is_cut(&self, when: When, addr: u64, known: usize) -> bool {
        self.known.is_cut(when, addr, known)
    }
}

fn to_end_of_page(addr: u64) -> usize {
    usize::try_from(PAGE - addr % PAGE).unwrap_or(1)
}

/// Makes nothing, but notes descriptors and tasks if it has somewhere to.
struct Notes<'w, 'o>(Option<Noted<'w, 'o>>);

struct Noted<'w, 'o> {
    /// Only what was there at this end of the call.
    when: When,
    out: &'w RefCell<&'o mut Mentioned>,
}

impl Noted<'_, '_> {
    fn descriptor(&self, fd: i32) {
        note(&mut self.out.borrow_mut().descriptors, fd);
    }
}

fn note(numbers: &mut Vec<i32>, number: i32) {
    if numbers.len() < MAX_MENTIONED && !numbers.contains(&number) {
        numbers.push(number);
    }
}

impl Build for Notes<'_, '_> {
    type Out = ();
    type Items = ();
    type Fields = ();

    fn scalar(&self, value: u64, _: Width, style: Style, _: Abi, when: When) {
        let Some(noted) = self.0.as_ref().filter(|noted| noted.when == when) else {
            return;
        };
        let number = (value & 0xffff_ffff) as u32;
        let number = number.cast_signed();
        match style {
            Style::Dirfd if number == AT_FDCWD => noted.descriptor(number),
            Style::Fd | Style::Dirfd if number >= 0 => noted.descriptor(number),
            Style::Pid if number > 0 => note(&mut noted.out.borrow_mut().tasks, number),
            _ => {}
        }
    }

    fn naming(&self, read: fn(&View<'_>) -> Value, view: &View<'_>) {
        if let Some(noted) = self.0.as_ref().filter(|noted| noted.when == view.when) {
            read(view).visit(view.when, &mut |value, _| {
                for fd in value.descriptors().iter().filter(|fd| **fd >= 0) {
                    noted.descriptor(*fd);
                }
            });
        }
    }

    fn address(&self, _: u64) {}
    fn bytes(&self, _: &[u8], _: bool, _: bool, _: Look) {}
    fn special(&self, _: fn(&View<'_>) -> Value, _: &View<'_>) {}
    fn then(&self, (): (), _: fn(Value, &View<'_>) -> Value, _: &View<'_>) {}
    fn to(&self, _: u64, (): ()) {}
    fn changed(&self, _: u64, (): (), (): ()) {}
    fn item(&self, (): &mut (), (): ()) {}
    fn array(&self, (): (), _: Option<u64>, _: bool) {}
    fn counted(&self, _: u64, (): (), _: Option<u64>, _: bool, _: usize) {}
    fn field(&self, (): &mut (), _: &'static super::schema::Field, (): ()) {}
    fn structure(&self, _: &'static Struct, (): (), _: bool, _: &View<'_>) {}
}

#[cfg(test)]
mod tests;
