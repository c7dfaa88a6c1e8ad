//! Components made byte by byte (component-model/design/mvp/Binary.md).

use super::*;
use crate::plugin::Plugin;

fn section(id: u8, contents: &[u8]) -> Vec<u8> {
    let mut bytes = vec![id];
    let mut len = contents.len();
    while len > 0x7f {
        bytes.push(len.to_le_bytes()[0] | 0x80);
        len >>= 7;
    }
    bytes.push(len.to_le_bytes()[0]);
    bytes.extend(contents);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len()).unwrap()];
    bytes.extend(text.bytes());
    bytes
}

fn custom(name: &str, data: &[u8]) -> Vec<u8> {
    section(0, &[text(name), data.to_vec()].concat())
}

const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// A component that imports these interfaces, each with one function `f`, and
/// exports the first one's function under the name given.
fn component(imports: &[&str], export: &str) -> Vec<u8> {
    let mut bytes = HEADER.to_vec();
    // An instance type that declares a function type and exports `f` of it.
    let mut types = vec![1, 0x42, 2, 0x01, 0x40, 0, 1, 0, 0x04, 0];
    types.extend(text("f"));
    types.extend([1, 0]);
    bytes.extend(section(7, &types));
    let mut list = vec![u8::try_from(imports.len()).unwrap()];
    for import in imports {
        list.push(0);
        list.extend(text(import));
        list.extend([5, 0]);
    }
    bytes.extend(section(10, &list));
    // alias export 0 "f" (func)
    bytes.extend(section(6, &[vec![1, 1, 0, 0], text("f")].concat()));
    bytes.extend(section(
        11,
        &[vec![1, 0], text(export), vec![1, 0, 0]].concat(),
    ));
    bytes
}

const LOG: &str = "pai:plugin/log@0.1.0";

fn problem(wasm: &[u8]) -> String {
    match examine(wasm, false) {
        Ok(_) => panic!("accepted"),
        Err(problem) => problem.to_string(),
    }
}

#[test]
fn imports_and_world_are_read() {
    let wasm = component(&[LOG, "wasi:io/streams@0.2.6"], "run");
    validate(&wasm).unwrap();
    let plugin = Plugin::from_bytes(wasm, "bare").unwrap();
    assert_eq!(plugin.imports, [LOG, "wasi:io/streams@0.2.6"]);
    assert_eq!(plugin.world, World::Plugin);
    assert_eq!(plugin.name, "bare");
    assert!(plugin.manifest.is_absent());

    let wasm = component(&["pai:plugin/observe@0.1.3", LOG], "run");
    assert_eq!(examine(&wasm, false).unwrap().world, World::Observer);
}

#[test]
fn both_worlds_at_once_are_refused() {
    let wasm = component(
        &["pai:plugin/observe@0.1.0", "pai:plugin/memory@0.1.0"],
        "run",
    );
    let problem = problem(&wasm);
    assert!(
        problem.contains("pai:plugin/observe and pai:plugin/memory"),
        "{problem}"
    );
}

#[test]
fn other_versions_and_unknown_imports_are_named() {
    for import in [
        "pai:plugin/log@0.2.0",
        "pai:plugin/log@1.0.0",
        "pai:plugin/log@0.1.0-rc.1",
        "pai:plugin/log",
    ] {
        let problem = problem(&component(&[import], "run"));
        let expected =
            format!("it imports {import}, and this pai-host has version 0.1.0 of pai:plugin");
        assert_eq!(problem, expected);
    }
    for import in [
        "pai:plugin/teleport@0.1.0",
        "pai:other/log@0.1.0",
        "wasi:http/types@0.2.0",
        "wasi:io/streams@0.3.0",
        "env",
    ] {
        let problem = problem(&component(&[import], "run"));
        let expected = format!("it imports {import:?}, which pai-host does not provide");
        assert_eq!(problem, expected);
    }
}

#[test]
fn what_is_no_plugin_is_named() {
    assert!(problem(&component(&[LOG], "walk")).contains("does not export the function `run`"));
    assert!(problem(HEADER).contains("does not export the function `run`"));
    assert_eq!(problem(MODULE), "it is a core module, not a component");
    assert_eq!(
        problem(b"\x7fELF\x02\x01"),
        "it is native code, which is never loaded"
    );
    assert_eq!(problem(b""), "it is empty");
    assert_eq!(problem(b"#!/bin/sh\n"), "it is not WebAssembly");
    assert_eq!(
        problem(b"\n (component)"),
        "it is WebAssembly text, not a binary"
    );
    assert_eq!(problem(b"\0as"), "it is damaged: it is cut off");
}

#[test]
fn damage_anywhere_is_an_error_and_no_panic() {
    let mut wasm = component(&[LOG], "run");
    wasm.extend(custom("pai:manifest", &[1, 2, 3]));
    for len in 0..wasm.len() {
        drop(examine(&wasm[..len], false));
        drop(examine(&wasm[..len], true));
    }
    for at in 0..wasm.len() {
        for flip in [1, 0x80, 0xff] {
            let mut changed = wasm.clone();
            changed[at] ^= flip;
            drop(examine(&changed, false));
        }
    }
    let cut = &component(&[LOG], "run")[..40];
    assert!(
        problem(cut).starts_with("it is damaged: "),
        "{}",
        problem(cut)
    );
}

#[test]
fn manifests_are_found_in_nested_modules() {
    let module = [MODULE, &custom("pai:manifest", b"\x09")].concat();
    let mut wasm = component(&[LOG], "run");
    wasm.extend(section(1, &module));
    let contract = examine(&wasm, false).unwrap();
    assert_eq!(contract.manifest.as_deref(), Some(&b"\x09"[..]));
    let error = Plugin::from_bytes(wasm.clone(), "bare").unwrap_err();
    assert_eq!(
        error.to_string(),
        "plugin bare: its manifest has format 9, and this pai-host knows only format 1"
    );
    wasm.extend(custom("pai:manifest", b"\x09"));
    assert_eq!(problem(&wasm), "it has more than one manifest");
}

#[test]
fn bundled_plugins_are_read_without_their_code() {
    for plugin in crate::bundled::ALL {
        let quick = examine(plugin.wasm, true).unwrap();
        let whole = examine(plugin.wasm, false).unwrap();
        assert_eq!(quick.manifest, whole.manifest);
        assert_eq!(quick.world, whole.world);
        assert_eq!(quick.imports, whole.imports);
    }
}
