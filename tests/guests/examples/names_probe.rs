//! Prints names and numbers that the SDK knows: from the host, or from tables of
//! its own with the feature `syscalls`.

use pai_plugin::{Client, Result, SyscallId, names, println};

pai_plugin::plugin! {
    name: "names-probe",
    description: "prints names",
    run: run,
}

fn run() -> Result<()> {
    for abi in [names::X86_64, names::I386] {
        for nr in (0..600).chain([u32::MAX]) {
            let call = SyscallId { abi, nr };
            let name = names::syscall(call);
            let back = name.as_ref().and_then(|name| names::number(abi, name));
            println!("{nr}: {name:?} {back:?} {:?}", names::argument_count(call));
        }
    }
    for errno in 0..140 {
        println!(
            "{errno}: {:?} {:?}",
            names::errno(errno),
            names::errno_text(errno)
        );
    }
    for signal in 0..70 {
        println!("{signal}: {:?}", names::signal(signal));
    }
    Client::new(()).loop_until_exit()?;
    Ok(())
}
