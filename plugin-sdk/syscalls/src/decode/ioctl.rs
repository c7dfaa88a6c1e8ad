//! ioctl(2), by request.

use super::schema::prelude::*;

mod arguments;
mod devices;
mod files;
mod kernel;
mod pointers;
mod requests;
mod sockets;
mod terminals;

use super::process::sets::SETNS;

/// What the number says, in words.
fn request(view: &View<'_>) -> Value {
    let request = view.arg32(1);
    Value::Named(request.into(), requests::words(view.abi, request))
}

/// Requests whose result is more than a number.
fn by_request(view: &View<'_>) -> Option<&'static Call> {
    let mut names = requests::names(view.abi, view.arg32(1));
    let index = names.find_map(|name| match name {
        "NS_GET_USERNS" | "NS_GET_PARENT" | "SIOCGSKNS" | "TIOCGPTPEER" => Some(0),
        "NS_GET_NSTYPE" => Some(1),
        _ => None,
    });
    BY_REQUEST.get(index?)
}

fn namespace(view: &View<'_>, _: &[Value]) -> Option<Value> {
    let ret = view.ret?.cast_unsigned();
    Some(Value::One(ret, &SETNS))
}

const REQUEST: Type = Special(request, 0);
const ARGUMENT: Type = Pick(arguments::of, 0);

calls! { CALLS
    ioctl by by_request (fd: FD, cmd: REQUEST, arg: ARGUMENT) -> I32;
}

calls! { BY_REQUEST
    ioctl(fd: FD, cmd: REQUEST, arg: ARGUMENT) -> FD;
    ioctl(fd: FD, cmd: REQUEST, arg: ARGUMENT) -> I32, note(namespace);
}

/// The numbers of requests.
#[cfg(test)]
pub(super) fn numbers() -> impl Iterator<Item = u32> {
    requests::numbers()
}
