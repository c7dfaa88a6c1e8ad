//! Calls functions and system calls of the target, before its first instruction.

use pai_plugin::{Argument, Client, Result, names, println};

pai_plugin::plugin! {
    name: "asks",
    description: "has the target say what its PATH and its user are",
    wants: [
        Control("to hold it at its entry point"),
        MemoryRead("to find getenv, and to read what it returns"),
        Inject("to call it"),
    ],
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(());
    // `None`: the session is over.
    let Some(hit) = client.run_until_entry()? else {
        return Ok(());
    };
    // The task is held here until `loop_until_exit`.
    let getenv = client.address_of(hit.pid, "libc.so*!getenv")?;
    let name = Argument::Bytes(b"PATH\0".to_vec());
    let path = match client.call(hit.tid, getenv, &[name])?.int {
        0 => b"not set".to_vec(),
        text => client.read_c_string(hit.pid, text, 4096)?,
    };
    println!("PATH is {}", String::from_utf8_lossy(&path));

    let getuid = names::number(names::X86_64, "getuid").ok_or("no call getuid")?;
    println!("its user is {}", client.syscall(hit.tid, getuid, &[])?);
    client.loop_until_exit()?;
    Ok(())
}
