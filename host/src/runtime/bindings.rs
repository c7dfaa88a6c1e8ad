//! The contract in `wit/`, as wasmtime's generator writes it down.

mod generated {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "host",
        imports: {
            // The one import that suspends; it traps when the session cannot go on.
            "pai:plugin/client.next": async | trappable,
            // Both are served, and may fail to, by wasmtime's resource table.
            "pai:plugin/client.[static]subscription.subscribe": trappable,
            "pai:plugin/client.[method]subscription.id": trappable,
        },
        exports: { default: async },
        with: {
            "pai:plugin/client.subscription": crate::runtime::imports::client::Subscription,
        },
    });
}

pub(crate) use generated::Host_Pre as Component;
pub(crate) use generated::pai::plugin::{
    client, config, control, events, log, memory, observe, output, registers, syscalls, tasks,
    types,
};
