//! Counts the bytes that are written, by process and descriptor.

use std::collections::BTreeMap;

use pai_plugin::json::Object;
use pai_plugin::output::{emit, structured};
use pai_plugin::{Client, OnExit, Result, println};

pai_plugin::plugin! {
    name: "written",
    description: "counts the bytes that are written, by process and descriptor",
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(BTreeMap::new());
    client.on_exit_of(&["write", "pwrite64", "writev"], |client, call| {
        // A negative result is an error, or a call that starts over.
        if let Some(bytes) = call.ret.filter(|ret| *ret > 0) {
            let key = (call.pid, call.args.0);
            *client.data_mut().entry(key).or_insert(0) += bytes;
        }
        Ok(OnExit::Proceed)
    })?;
    let (_end, written) = client.loop_until_exit()?;
    for ((pid, fd), bytes) in written {
        if structured() {
            let object = Object::new().number("pid", pid).number("fd", fd);
            emit("written", &object.number("bytes", bytes).end())?;
        } else {
            println!("process {pid} wrote {bytes} bytes to descriptor {fd}");
        }
    }
    Ok(())
}
