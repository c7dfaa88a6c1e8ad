//! The contract in `wit/`, as wasmtime's generator writes it down.

mod generated {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "host",
        imports: {
            // The one import that suspends; it traps when the session cannot go on.
            "pai:plugin/client.next": async | trappable,
            // These are served, and may fail to, by wasmtime's resource table.
            "pai:plugin/client.[static]subscription.subscribe": trappable,
            "pai:plugin/client.[method]subscription.id": trappable,
            "pai:plugin/breakpoints.[static]breakpoint.insert": trappable,
            "pai:plugin/breakpoints.[method]breakpoint.id": trappable,
            "pai:plugin/breakpoints.[method]breakpoint.hits": trappable,
            "pai:plugin/breakpoints.[method]breakpoint.set-enabled": trappable,
            "pai:plugin/breakpoints.[method]breakpoint.remove": trappable,
            "pai:plugin/breakpoints.[static]hook.insert": trappable,
            "pai:plugin/breakpoints.[method]hook.id": trappable,
            "pai:plugin/breakpoints.[method]hook.remove": trappable,
        },
        exports: { default: async },
        with: {
            "pai:plugin/client.subscription": crate::runtime::imports::client::Subscription,
            "pai:plugin/breakpoints.breakpoint": crate::runtime::imports::breakpoints::Breakpoint,
            "pai:plugin/breakpoints.hook": crate::runtime::imports::breakpoints::Hook,
        },
    });
}

pub(crate) use generated::Host_Pre as Component;
pub(crate) use generated::pai::plugin::{
    breakpoints, calls, client, clock, config, control, events, log, memory, observe, output,
    registers, symbols, syscalls, tasks, types, unwind,
};
