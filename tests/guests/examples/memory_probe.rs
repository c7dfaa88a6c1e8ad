//! Reads what the fixture `mem_readable` announces with its marker call, and
//! tries what cannot be read. One line per attempt.

use pai_plugin::{Client, Event, Result, println};

pai_plugin::plugin! {
    name: "memory-probe",
    description: "reads memory at getppid",
    wants: [MemoryRead("to read")],
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(());
    let Some(Event::Execed(exec)) = client.run_until_exec()? else {
        return Ok(());
    };
    let pid = exec.pid;
    println!(
        "null: {:?}",
        client.read_bytes(pid, 0, 8).map_err(|e| e.to_string())
    );
    println!(
        "string at null: {:?}",
        client.read_c_string(pid, 0, 8).map_err(|e| e.to_string())
    );
    println!(
        "too much: {:?}",
        client
            .read_bytes(pid, 0, 17 << 20)
            .map_err(|e| e.to_string())
    );
    let maps = client.maps(pid)?;
    let first = maps.iter().find(|map| map.name.contains('/'));
    if let Some(map) = first {
        println!("elf: {:x?}", client.read_bytes(pid, map.start, 4)?);
        println!("as u32: {:#x}", client.read_u32(pid, map.start)?);
        println!(
            "string: {:?}",
            String::from_utf8_lossy(&client.read_c_string(pid, map.start + 1, 3)?)
        );
        let many = client.read_many(pid, &[(map.start, 1), (0, 1), (map.start + 1, 3)])?;
        for one in many {
            println!("one of many: {:x?}", one.map_err(|e| e.to_string()));
        }
    }
    println!("stack: {}", maps.iter().any(|map| map.name == "[stack]"));
    println!(
        "nobody: {:?}",
        client.read_bytes(1, 0, 1).map_err(|e| e.to_string())
    );
    client.loop_until_exit()?;
    Ok(())
}
