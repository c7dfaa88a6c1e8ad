//! Every part of an expression.

use pai_plugin::SyscallId;

use super::*;

fn effects(text: &str) -> Effects {
    let rule = Rule::parse("inject", &format!("chdir:{text}"));
    rule.unwrap_or_else(|error| panic!("{error}")).effects
}

fn refused(kind: &str, text: &str) -> String {
    let error = Rule::parse(kind, text).expect_err(text);
    error.to_string()
}

#[test]
fn results() {
    for (text, result) in [
        ("error=ENOENT", -2),
        ("error=enoent", -2),
        ("error=4095", -4095),
        ("retval=0", 0),
        ("retval=0x10", 16),
        ("retval=0777", 511),
        ("retval=-1", -1),
        ("retval=18446744073709551615", -1),
    ] {
        assert_eq!(effects(text), Effects::of_result(result), "{text}");
    }
    for (text, why) in [
        ("error=", "\"\" is no error"),
        ("error=EFOO", "\"EFOO\" is no error"),
        ("error=0", "is no error"),
        ("error=4096", "is no error"),
        ("retval=", "is no number"),
        ("retval=x", "is no number"),
        ("retval=99999999999999999999", "is no number"),
        ("error=EIO:retval=1", "error or retval is there twice"),
        ("error=EIO:error=EIO", "error or retval is there twice"),
    ] {
        let error = refused("inject", &format!("chdir:{text}"));
        assert!(
            error.starts_with(&format!("inject=chdir:{text}: ")),
            "{error}"
        );
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn signals_and_calls_in_place() {
    for (text, number) in [("SIGUSR1", 10), ("usr1", 10), ("64", 64), ("SIGRT_1", 33)] {
        assert_eq!(effects(&format!("signal={text}")).signal, Some(number));
    }
    for text in ["0", "65", "", "SIGRTMIN+1", "INT:signal=INT"] {
        refused("inject", &format!("chdir:signal={text}"));
    }
    let both = effects("syscall=getpid:error=EIO");
    assert_eq!(
        (both.stand_in.as_deref(), both.result),
        (Some("getpid"), Some(-5))
    );
    for text in ["getpid", "write:error=EIO", "39:error=EIO", ":error=EIO"] {
        refused("inject", &format!("chdir:syscall={text}"));
    }
}

#[test]
fn delays_are_microseconds_if_nothing_else_is_said() {
    for (text, nanos) in [
        ("1", 1_000),
        ("0", 0),
        ("7ns", 7),
        ("7us", 7_000),
        ("1.5ms", 1_500_000),
        (".5s", 500_000_000),
        ("1.s", 1_000_000_000),
        ("1e3", 1_000_000),
        ("5000000000000", 5_000_000_000_000_000),
    ] {
        let both = effects(&format!("delay_enter={text}:delay_exit={text}"));
        assert_eq!(
            (both.delay_enter, both.delay_exit),
            (Some(nanos), Some(nanos)),
            "{text}"
        );
    }
    for text in [
        "",
        "-1",
        "1m",
        "1S",
        "0x10",
        "inf",
        "nan",
        "s",
        "1e30",
        "1:delay_enter=2",
    ] {
        refused("inject", &format!("chdir:delay_enter={text}"));
    }
}

#[test]
fn pokes_are_bytes_for_arguments() {
    let poke = |argument, bytes: &[u8]| Poke {
        argument,
        bytes: bytes.to_vec(),
    };
    let both = effects("poke_enter=@arg1=00,@arg2=DEadBE:poke_exit=@arg7=0xff");
    assert_eq!(
        both.poke_enter,
        [poke(0, &[0]), poke(1, &[0xde, 0xad, 0xbe])]
    );
    assert_eq!(both.poke_exit, [poke(6, &[0xff])]);
    assert!(both.at_exit() && !effects("poke_enter=@arg1=00").at_exit());
    for text in [
        "",
        "@arg1=",
        "@arg1=0",
        "@arg1=zz",
        "arg1=00",
        "@arg0=00",
        "@arg8=00",
        "@arg10=00",
        "@arg1=00,@arg1=11",
        "@arg1=00,",
        "@arg1=00:poke_enter=@arg2=00",
        "@arg1=\u{e9}",
    ] {
        refused("inject", &format!("chdir:poke_enter={text}"));
    }
}

#[test]
fn the_last_of_several_whens_counts_and_nothing_is_no_part() {
    let rule = Rule::parse("inject", "chdir::error=EIO:when=1:when=2+:").unwrap();
    assert_eq!(rule.when, When::parse("2+").unwrap());
    assert!(rule.for_each);
    for text in [
        "chdir",
        "chdir:when=1",
        "chdir:error=EIO:when=0",
        "chdir:error=EIO:foo",
    ] {
        refused("inject", text);
    }
}

#[test]
fn a_fault_is_an_error() {
    let result = |text| Rule::parse("fault", text).unwrap().effects.result;
    assert_eq!(result("chdir"), Some(-ENOSYS));
    assert_eq!(result("chdir:error=EBADF:when=2"), Some(-9));
    assert_eq!(result("chdir:syscall=getpid"), Some(-ENOSYS));
    for part in [
        "retval=1",
        "signal=INT",
        "delay_enter=1",
        "poke_exit=@arg1=00",
    ] {
        refused("fault", &format!("chdir:{part}"));
    }
}

#[test]
fn sets_are_those_of_strace() {
    let has = |set: &str, name: &str| {
        let rule = Rule::parse("fault", set).unwrap();
        let abi = names::X86_64;
        let nr = names::number(abi, name).unwrap();
        rule.calls.has(SyscallId { abi, nr })
    };
    assert!(has("%file", "openat") && has("file", "openat") && !has("%file", "read"));
    assert!(has("/^ch", "chdir") && !has("/^ch", "read"));
    assert!(has("!read", "write") && !has("!read", "read"));
    assert!(has("?nosuch,read", "read"));
    assert!(refused("fault", "opneat").contains("is it \"openat\"?"));
    assert!(refused("fault", "").contains("no system call named \"\""));
}
