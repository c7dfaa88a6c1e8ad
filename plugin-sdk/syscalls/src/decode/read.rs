//! Makes values of a call and of what was captured.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::abi::Abi;

use super::ask::AT_FDCWD;
use super::captured::{Captured, When};
use super::ends::{Build, Memory, Purpose};
use super::limits::Limits;
use super::schema::{Call, Dir, Look, Struct, Style, Type, Width};
use super::value::{Bytes, Field, Fields, Items, Value};
use super::view::View;
use super::walk::{Walk, picked};

/// A call in typed form.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// It, or the call in it for ipc(2) and socketcall(2). What describes these arguments may
    /// be what `pick` makes of it.
    pub call: &'static Call,
    /// Its arguments, as many as are shown.
    pub args: Vec<Argument>,
    /// How many of them are known when the call is made: the others, and those behind
    /// them, show what the call has done.
    pub known_at_entry: usize,
    /// Of the one behind these what went in is known, too: what the call has made of it shows
    /// behind that.
    pub halved: bool,
    /// Its result; an errno is not among these.
    pub ret: Option<Value>,
    /// What is said behind the result.
    pub note: Option<Value>,
}

impl Decoded {
    /// The end of the call at which the argument at this place was what it shows.
    #[must_use]
    pub fn when(&self, place: usize) -> When {
        let arg = self.args.get(place);
        // What is in a register is there before the call.
        let is_register = arg.is_some_and(|arg| matches!(arg.value, Value::Fd(_)));
        match place < self.known_at_entry || is_register {
            true => When::Enter,
            false => When::Exit,
        }
    }
}

/// An argument.
#[derive(Clone, Debug)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// Shown with its name.
    pub named: bool,
    /// As it is in its register.
    pub raw: u64,
    /// What it means.
    pub value: Value,
}

/// Decodes a call: at its entry, or with its result.
#[must_use]
pub fn decode(
    call: &'static Call,
    abi: Abi,
    registers: [u64; 6],
    ret: Option<i64>,
    limits: Limits,
    captured: &Captured<'_>,
) -> Decoded {
    let named = call;
    let (call, arguments) = picked(call, abi, registers, captured);
    let view = View {
        limits,
        ..View::new(abi, arguments, ret)
    };
    let mut walk = Walk::new(captured, Values, limits);
    let mut args = Vec::with_capacity(call.args.len());
    let mut known_at_entry = None;
    for (index, arg) in call.args.iter().enumerate() {
        let ty = resolved(&arg.ty, index, &view);
        if matches!(ty, Type::Absent) {
            continue;
        }
        // What was shown at the entry is what was known there, whatever the result makes of it.
        let halved = shows_outcome(ty);
        let before = resolved(&arg.ty, index, &View { ret: None, ..view });
        if known_at_entry.is_none() && (halved || shows_result(before)) {
            known_at_entry = Some((args.len(), halved));
        }
        args.push(Argument {
            name: arg.name,
            named: arg.named,
            raw: view.arg(index),
            value: walk.argument(ty, index, &view),
        });
    }
    let returned = ret.filter(|ret| !super::is_error(*ret));
    let note = returned.and_then(|_| {
        let mut also = Vec::new();
        for (index, ty) in call.ret.also {
            also.push(walk.argument(ty, usize::from(*index), &view));
        }
        call.ret.note.and_then(|note| note(&view, &also))
    });
    let (known_at_entry, halved) = known_at_entry.unwrap_or((args.len(), false));
    Decoded {
        call: match named.name {
            "ipc" | "socketcall" => call,
            _ => named,
        },
        known_at_entry,
        halved,
        args,
        ret: returned.map(|ret| walk.register(&call.ret.ty, ret.cast_unsigned(), &view)),
        note,
    }
}

/// The type of an argument whose type depends on others.
fn resolved(ty: &'static Type, index: usize, view: &View<'_>) -> &'static Type {
    let raw = view.arg(index);
    match ty {
        Type::Pick(pick, _) => pick(&View { raw, ..*view }),
        _ => ty,
    }
}

/// Whether what the call has written shows behind what went in, though the kernel only reads
/// the structure itself: clone3(2) writes where that points.
fn shows_outcome(ty: &Type) -> bool {
    match ty {
        Type::Then(Type::Sized(Dir::In, _, Type::Struct(of)), _) => of.name == "clone_args",
        _ => false,
    }
}

pub(crate) fn shows_result(ty: &Type) -> bool {
    leads_to_result(ty, 0)
}

/// Whether something that the kernel writes is behind a pointer of this type, or behind
/// one in what it leads to: the pieces of readv(2).
fn leads_to_result(ty: &Type, depth: u32) -> bool {
    const MAX_DEPTH: u32 = 4;
    if depth > MAX_DEPTH {
        return false;
    }
    match ty {
        Type::Then(of, _) | Type::Fixed(of, _) => leads_to_result(of, depth + 1),
        Type::To(dir, of) | Type::Sized(dir, _, of) | Type::Array(dir, of, _) => {
            *dir != Dir::In || leads_to_result(of, depth + 1)
        }
        Type::Bytes(dir, ..) => *dir != Dir::In,
        Type::Struct(structure) => {
            let mut fields = structure.fields.iter();
            fields.any(|field| leads_to_result(&field.ty, depth + 1))
        }
        _ => false,
    }
}

impl<'a> Memory<'a> for Captured<'a> {
    fn get(&self, when: When, addr: u64, len: usize, _: Purpose) -> &'a [u8] {
        Captured::get(self, when, addr, len)
    }

    fn is_cut(&self, when: When, addr: u64, known: usize) -> bool {
        Captured::is_cut(self, when, addr, known)
    }
}

/// What bytes hold that are a part of something that a function reads. Pointers in them
/// are not followed.
pub(crate) fn of_bytes<'a>(ty: &'static Type, bytes: &'a [u8], view: &View<'a>) -> Option<Value> {
    let mut walk = Walk::new(&Nowhere, Values, view.limits);
    let view = View {
        size: 0,
        outer: None,
        ..*view
    };
    walk.object(ty, bytes, 0, view.when, &view)
}

/// No memory.
struct Nowhere;

impl<'a> Memory<'a> for Nowhere {
    fn get(&self, _: When, _: u64, _: usize, _: Purpose) -> &'a [u8] {
        &[]
    }
}

/// Makes values.
struct Values;

impl Build for Values {
    type Out = Value;
    type Items = Vec<Value>;
    type Fields = Vec<Field>;

    fn scalar(&self, value: u64, width: Width, style: Style, abi: Abi, _: When) -> Value {
        scalar(value, width, style, abi)
    }

    fn address(&self, addr: u64) -> Value {
        Value::Address(addr)
    }

    fn bytes(&self, data: &[u8], more: bool, whole: bool, look: Look) -> Value {
        Value::Bytes(Bytes {
            data: data.to_vec(),
            more,
            whole,
            look,
        })
    }

    fn special(&self, read: fn(&View<'_>) -> Value, view: &View<'_>) -> Value {
        read(view)
    }

    fn naming(&self, read: fn(&View<'_>) -> Value, view: &View<'_>) -> Value {
        read(view)
    }

    fn then(&self, value: Value, make: fn(Value, &View<'_>) -> Value, view: &View<'_>) -> Value {
        make(value, view)
    }

    fn to(&self, addr: u64, value: Value) -> Value {
        match value {
            Value::Counted { .. } | Value::Changed { .. } => value,
            _ => Value::To {
                addr,
                value: Box::new(value),
            },
        }
    }

    fn changed(&self, addr: u64, before: Value, after: Value) -> Value {
        Value::Changed {
            addr,
            before: Box::new(before),
            after: Box::new(after),
        }
    }

    fn item(&self, items: &mut Vec<Value>, value: Value) {
        items.push(value);
    }

    fn array(&self, items: Vec<Value>, more: Option<u64>, missing: bool) -> Value {
        Value::Array(Items {
            items,
            more,
            missing,
        })
    }

    fn counted(
        &self,
        addr: u64,
        items: Vec<Value>,
        more: Option<u64>,
        missing: bool,
        count: usize,
    ) -> Value {
        let items = Items {
            items,
            more,
            missing,
        };
        Value::Counted {
            addr,
            items,
            count,
            what: "vars",
        }
    }

    fn field(&self, fields: &mut Vec<Field>, of: &'static super::schema::Field, value: Value) {
        fields.push(Field {
            name: of.name,
            value,
            verbose: of.verbose,
        });
    }

    fn structure(
        &self,
        of: &'static Struct,
        fields: Vec<Field>,
        more: bool,
        view: &View<'_>,
    ) -> Value {
        let mut fields = Fields { fields, more };
        if let Some(arrange) = of.arrange {
            arrange(&mut fields, view);
        }
        Value::Struct(fields)
    }
}

/// A number as what it means.
#[must_use]
pub fn scalar(value: u64, width: Width, style: Style, abi: Abi) -> Value {
    let bits = width.bytes(abi) as u32 * 8;
    let unsigned = value & (u64::MAX >> (64 - bits));
    let signed = (value << (64 - bits)).cast_signed() >> (64 - bits);
    // The lower half is all of these.
    let low = (unsigned & 0xffff_ffff) as u32;
    match style {
        Style::Signed => Value::Signed(signed),
        Style::Unsigned => Value::Unsigned(unsigned),
        Style::Hex => Value::Hex(unsigned),
        Style::Octal => Value::Octal(unsigned),
        // A call that looks up no path knows no working directory.
        Style::Fd if low.cast_signed() == AT_FDCWD => Value::Signed(AT_FDCWD.into()),
        Style::Fd | Style::Dirfd => Value::Fd(low.cast_signed()),
        Style::Pid => Value::Pid(low.cast_signed()),
        Style::Uid => Value::Uid(low),
        Style::Mode => Value::Mode(low),
        Style::Device => Value::Device(unsigned),
        Style::Signal => Value::Signal(low),
        Style::Address => Value::Address(unsigned),
        Style::Port => {
            let port = u16::from_be((unsigned & 0xffff) as u16);
            Value::Call("htons", Vec::from([Value::Unsigned(port.into())]))
        }
        Style::Limit if bits == 32 && low == u32::MAX => {
            Value::Named(unsigned, "RLIM_INFINITY".into())
        }
        Style::Interface => Value::Interface(low),
        Style::Limit => Value::Limit(unsigned),
        Style::One(set) => Value::One(unsigned, set),
        Style::Flags(set) => Value::Flags(unsigned, set),
        Style::WaitStatus => Value::WaitStatus(low),
    }
}
