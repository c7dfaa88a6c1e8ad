//! Changes the texts of the fixture `mem_readable`, and its numbers.

use pai_plugin::{Client, OnEnter, Result, println};

pai_plugin::plugin! {
    name: "memory-writes",
    description: "writes at getpriority",
    wants: [MemoryRead("to look again"), MemoryWrite("that is what it is for")],
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(());
    client.on_enter_of(&["getpriority"], |client, call| {
        let (first, a, b, c, d, e) = call.args;
        let pid = call.pid;
        match first {
            0x1234 => {
                client.write_u8(pid, a, 0x12)?;
                client.write_i16(pid, b, -2)?;
                client.write_f32(pid, c, 0.5)?;
                client.write_f64(pid, d, -1.5)?;
                println!(
                    "{:#x} {} {} {}",
                    client.read_u8(pid, a)?,
                    client.read_i16(pid, b)?,
                    client.read_f32(pid, c)?,
                    client.read_f64(pid, d)?
                );
                client.write_i128(pid, e, i128::MIN)?;
                println!("{}", client.read_i128(pid, e)? == i128::MIN);
            }
            0x1235 => {
                let failed = client
                    .write_bytes(pid, b, b"nowhere")
                    .map_err(|e| e.to_string());
                println!("unmapped: {}", failed == Err(format!("{}", bad(pid, b))));
                // Over more than one search of the host.
                let range = a & !0xfff..(a & !0xfff) + (40 << 20);
                let found = client.find(pid, range, b"crosses a page border", 9)?;
                println!("found: {}", found == [d]);
            }
            0x1236 => {
                for (addr, text) in [(a, "changed 1"), (b, "changed 2"), (c, "changed 3")] {
                    client.write_bytes(pid, addr, text.as_bytes())?;
                }
            }
            _ => {}
        }
        Ok(OnEnter::Proceed)
    })?;
    client.loop_until_exit()?;
    Ok(())
}

fn bad(pid: u32, addr: u64) -> pai_plugin::Error {
    let fault = pai_plugin::bindings::pai::plugin::types::Fault { pid, addr, done: 0 };
    pai_plugin::ErrorKind::BadAddress(fault).into()
}
