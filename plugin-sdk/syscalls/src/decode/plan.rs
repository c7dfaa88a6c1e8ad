//! What has to be read at a stop.

use alloc::vec::Vec;
use core::cell::RefCell;

use crate::abi::Abi;

use super::captured::{Captured, When};
use super::read::shows_result;
use super::schema::{Call, Look, Struct, Style, Type, Width};
use super::value::Value;
use super::view::View;
use super::walk::{Build, Limits, Memory, Purpose, Walk, picked};

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
/// No memory is asked for beyond this much in one call, whatever it says.
const MAX_WANTS: usize = 1024;

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
    let memory = Planned {
        known,
        now: if ret.is_some() {
            When::Exit
        } else {
            When::Enter
        },
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

/// The descriptors that a call takes, or, if `ret` is given, has returned, as far as
/// so much memory shows.
pub fn descriptors(
    call: &'static Call,
    abi: Abi,
    registers: [u64; 6],
    ret: Option<i64>,
    limits: Limits,
    known: &Captured<'_>,
    out: &mut Vec<i32>,
) {
    let (call, args) = picked(call, abi, registers, known);
    let view = View::new(abi, args, ret);
    let mut walk = Walk::new(known, Notes(Some(RefCell::new(out))), limits);
    if let Some(ret) = ret
        && view.succeeded()
    {
        walk.register(&call.ret.ty, ret.cast_unsigned(), &view);
    }
    for (index, arg) in call.args.iter().enumerate() {
        if shows_result(&arg.ty) == ret.is_some() {
            walk.argument(&arg.ty, index, &view);
        }
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
        let len = match text && len > PATH_FIRST && known.is_empty() {
            true => PATH_FIRST,
            false => len,
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
}

/// Makes nothing, but notes descriptors if it has somewhere to.
struct Notes<'w>(Option<RefCell<&'w mut Vec<i32>>>);

impl Build for Notes<'_> {
    type Out = ();
    type Items = ();
    type Fields = ();

    fn scalar(&self, value: u64, _: Width, style: Style, _: Abi) {
        const AT_FDCWD: i32 = -100;
        let Some(fds) = &self.0 else { return };
        if !matches!(style, Style::Fd | Style::Dirfd) {
            return;
        }
        let fd = (value & 0xffff_ffff) as u32;
        let fd = fd.cast_signed();
        let mut fds = fds.borrow_mut();
        if (fd >= 0 || fd == AT_FDCWD) && !fds.contains(&fd) {
            fds.push(fd);
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
    fn counted(&self, _: u64, (): (), _: Option<u64>, _: usize) {}
    fn field(&self, (): &mut (), _: &'static super::schema::Field, (): ()) {}
    fn structure(&self, _: &'static Struct, (): (), _: bool, _: &View<'_>) {}
}
