//! Prints what calls do to mappings, modules, descriptors and by prctl.

use pai_plugin::{Change, Client, OnExit, Result, println};

pai_plugin::plugin! {
    name: "effects-log",
    description: "prints effects of calls",
    wants: [MemoryRead("for paths and names")],
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(());
    client.on_mapping(|_, change| {
        let what = match &change.change {
            Change::Mapped(_, Some((path, offset))) => format!("mapped {path} from {offset:#x}"),
            Change::Mapped(_, None) => "mapped nothing".to_owned(),
            Change::Unmapped => "unmapped".to_owned(),
            Change::Protected(protection) => format!("protected {protection:?}"),
            Change::Moved(..) => "moved".to_owned(),
        };
        println!(
            "mapping: {} pages {what}",
            (change.end - change.start) / 4096
        );
        Ok(OnExit::Proceed)
    })?;
    client.on_module(|_, module| {
        println!("module: {} {}", module.path, module.loaded);
        Ok(OnExit::Proceed)
    })?;
    client.on_descriptor(|_, change| {
        println!("descriptor: {} {} {}", change.fd, change.path, change.open);
        Ok(OnExit::Proceed)
    })?;
    client.on_prctl(|_, prctl| {
        println!("prctl: {} {:?}", prctl.option, prctl.name);
        Ok(OnExit::Proceed)
    })?;
    client.loop_until_exit()?;
    Ok(())
}
