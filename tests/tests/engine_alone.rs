//! The tracer's own process: who else waits there, who traces it, what it may,
//! and what remains when it ends. Most of this needs a process of its own,
//! which is this test program once more in another role.

use std::process::Command;
use std::sync::mpsc::channel;

use nix::errno::Errno;
use nix::sys::prctl::set_dumpable;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Uid, getppid, setresuid};
use pai_engine::observe::{Overflow, buffer};
use pai_engine::{Action, Engine, ExitStatus, Fatal, Follow};
use pai_ptrace::{Pid, Running, Stopped};
use pai_tests::fixtures;
use pai_tests::target::{Target, helper, role, tell};
use pai_tests::trace::{Reply, Trace, all_syscalls, everything, proceed};

/// Whether other threads may be given a value of this type.
trait IsSend {
    fn is_send(&self) -> bool;
}

struct Ask<T>(std::marker::PhantomData<T>);

impl<T: Send> Ask<T> {
    fn is_send(&self) -> bool {
        true
    }
}

/// Found only where the method above is not.
impl<T> IsSend for &Ask<T> {
    fn is_send(&self) -> bool {
        false
    }
}

fn ask<T>() -> &'static Ask<T> {
    &Ask(std::marker::PhantomData)
}

#[test]
fn c09_nothing_that_the_kernel_binds_to_a_thread_can_leave_it() {
    assert!(ask::<Pid>().is_send());
    assert!(!ask::<Stopped>().is_send());
    assert!(!ask::<Running>().is_send());
    assert!(!ask::<Engine>().is_send());
}

#[test]
fn c10_several_engines_and_other_children_in_one_process() {
    std::thread::scope(|scope| {
        for n in 0..4_u8 {
            scope.spawn(move || {
                for round in 0..10_u8 {
                    let traced = Trace::of(fixtures::FORK_EXIT).leaver(vec![]).run();
                    traced.expect(0, "child exited 3\n");
                    let code = n * 10 + round;
                    let traced = Trace::of(fixtures::EXIT_CODE)
                        .arg(code)
                        .client(everything(), |_, _, _| Some(Action::Proceed))
                        .run();
                    traced.expect(code, "");
                }
            });
            scope.spawn(move || {
                for round in 0..40_u8 {
                    let code = n * 40 + round;
                    let mut child = Command::new(fixtures::EXIT_CODE)
                        .arg(code.to_string())
                        .spawn()
                        .expect("it can be executed");
                    let status = child.wait().expect("a child");
                    assert_eq!(status.code(), Some(i32::from(code)));
                }
            });
        }
    });
}

#[test]
fn c10_a_child_of_the_tracer_thread_can_be_waited_for_between_two_sessions() {
    for code in 0..10 {
        let mut child = Command::new(fixtures::EXIT_CODE)
            .arg(code.to_string())
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("it can be executed");
        assert_eq!(child.wait().expect("a child").code(), Some(code));
        Trace::of("/bin/true").leaver(vec![]).run().expect(0, "");
    }
}

/// Takes every report that it can get, as a careless event loop does.
fn steal() -> ! {
    loop {
        // No children yet is no reason to give up.
        if waitpid(None, Some(WaitPidFlag::__WALL)) == Err(Errno::ECHILD) {
            std::thread::yield_now();
        }
    }
}

fn tell_end(end: &Result<pai_engine::End, Fatal>) {
    match end {
        Err(Fatal::Stolen { .. }) => tell("stolen"),
        other => tell(&format!("{other:?}")),
    }
}

#[test]
fn c10_a_stolen_stop_ends_the_session() {
    if role().is_some() {
        let (go, wait) = channel();
        std::thread::spawn(move || {
            wait.recv().expect("the signal to begin");
            steal()
        });
        let mut events = 0;
        let traced = Trace::of(fixtures::KILL_STORM)
            .client(everything(), |_, _, _| {
                events += 1;
                if events == 50 {
                    go.send(()).expect("the thief waits");
                }
                Some(Action::Proceed)
            })
            .run();
        return tell_end(&traced.end);
    }
    let mut helper = Target::launch(&mut helper("c10_a_stolen_stop_ends_the_session", "robbed"));
    assert_eq!(helper.told(), "stolen");
}

#[test]
fn c10_a_stolen_first_stop_ends_the_session() {
    if role().is_some() {
        std::thread::spawn(|| steal());
        // Each time, either of the two may be the first to look.
        loop {
            let mut engine = Engine::new(Follow::Yes).expect("a timer");
            let program = pai_engine::program(
                fixtures::EXIT_CODE.as_ref(),
                [b"exit_code".to_vec()],
                std::iter::empty(),
            );
            let spawned = engine.spawn(&program.expect("no NUL bytes"));
            if let Err(fatal) = spawned {
                return tell_end(&Err(fatal));
            }
        }
    }
    let test = "c10_a_stolen_first_stop_ends_the_session";
    let mut helper = Target::launch(&mut helper(test, "robbed"));
    assert_eq!(helper.told(), "stolen");
}

#[test]
fn c08_a_tracer_of_ours_is_refused() {
    const TEST: &str = "c08_a_tracer_of_ours_is_refused";
    match role().as_deref() {
        None => {
            let mut helper = Target::launch(&mut helper(TEST, "tracer"));
            assert_eq!(
                helper.told(),
                "tracee said EDEADLK: Resource deadlock would occur"
            );
        }
        Some("tracer") => {
            let own = std::env::current_exe().expect("our own path");
            let traced = Trace::of("/usr/bin/env")
                .arg("PAI_TEST_ROLE=tracee")
                .arg(own.display())
                .arg(TEST)
                .arg("--exact")
                .arg("--nocapture")
                .client(everything(), |_, _, _| Some(Action::Proceed))
                .run();
            let said = traced
                .stdout
                .lines()
                .find_map(|line| line.strip_prefix("helper: "));
            tell(&format!("tracee said {}", said.unwrap_or("nothing")));
        }
        Some(_) => {
            let traced = Trace::attached(&[Pid::new(getppid().as_raw())])
                .leaver(vec![])
                .run();
            let Err(Fatal::Attach { source, .. }) = traced.end else {
                return tell(&format!("{traced:?}"));
            };
            tell(&Errno::from_raw(source.errno()).to_string());
        }
    }
}

#[test]
fn c07_without_privileges_only_own_processes_can_be_attached_to() {
    if role().is_some() {
        use std::os::unix::process::CommandExt;
        let nobody = Uid::from_raw(65534);
        let mut own = Target::launch(Command::new(fixtures::ATTACH_TARGET).uid(nobody.as_raw()));
        assert_eq!(own.line(), "ready");
        let other = Target::start(fixtures::ATTACH_TARGET, &[]);
        setresuid(nobody, nobody, nobody).expect("root before");
        // As after an exec by this user; else our children are not ours.
        set_dumpable(true).expect("a process can say that");
        let mut events = 0;
        let traced = Trace::attached(&[own.pid()])
            .actor(vec![all_syscalls()], |_, _, _| {
                events += 1;
                if events < 100 {
                    Reply::Answer(Action::Proceed)
                } else {
                    Reply::Leave
                }
            })
            .run();
        assert!(traced.end.is_ok(), "{traced:?}");
        own.expect_ok();
        let traced = Trace::attached(&[other.pid()]).leaver(vec![]).run();
        let Err(Fatal::Attach { source, .. }) = traced.end else {
            panic!("{traced:?}");
        };
        other.assert_untraced();
        other.expect_ok();
        let traced = Trace::of(fixtures::FORK_EXIT).leaver(vec![]).run();
        traced.expect(0, "child exited 3\n");
        return tell(&Errno::from_raw(source.errno()).to_string());
    }
    let test = "c07_without_privileges_only_own_processes_can_be_attached_to";
    let mut helper = Target::launch(&mut helper(test, "nobody"));
    assert_eq!(helper.told(), "EPERM: Operation not permitted");
    assert_eq!(helper.status(), ExitStatus::Exited(0));
}

/// Starts a helper that spawns a target with its own standard output, and
/// stays in the trace until it is killed.
fn spawn_until_killed(fixture: &str) {
    let mut engine = Engine::new(Follow::Yes).expect("a timer");
    let program = pai_engine::program(fixture.as_ref(), [b"target".to_vec()], std::iter::empty());
    let client = engine.add_client("watcher").expect("room");
    engine
        .subscribe(client, all_syscalls())
        .expect("a new session");
    engine
        .spawn(&program.expect("no NUL bytes"))
        .expect("a child");
    engine.set_waiting(client, None);
    loop {
        match engine
            .turn(pai_engine::Block::Yes, &[])
            .expect("nothing fatal")
        {
            pai_engine::Turn::Mail(_) => {}
            pai_engine::Turn::News => continue,
            other => panic!("{other:?}"),
        }
        let delivery = engine.take_mail(client).expect("mail");
        if let Some(stop) = delivery.stop {
            proceed(&mut engine, client, stop);
        }
    }
}

#[test]
fn c12_a_spawned_target_dies_with_its_tracer() {
    const TEST: &str = "c12_a_spawned_target_dies_with_its_tracer";
    if let Some(role) = role() {
        spawn_until_killed(match role.as_str() {
            "busy" => fixtures::ATTACH_TARGET,
            "blocked" => fixtures::EINTR_BLOCKERS,
            _ => fixtures::ATTACH_SLEEPER,
        });
        return;
    }
    for role in ["busy", "blocked", "asleep"] {
        let mut tracer = Target::launch(&mut helper(TEST, role));
        // Behind the name of the test.
        while !tracer.line().ends_with("ready") {}
        tracer.signal(nix::sys::signal::Signal::SIGKILL);
        // The target has this pipe as well, and its input has not ended.
        let rest = tracer.rest_in_time();
        assert!(!rest.contains("ok") && !rest.contains("FAIL"), "{rest}");
    }
}

#[test]
fn c12_an_attached_target_survives_its_tracer() {
    const TEST: &str = "c12_an_attached_target_survives_its_tracer";
    if let Some(role) = role() {
        let pid: i32 = role.parse().expect("a process id");
        let mut events = 0;
        Trace::attached(&[Pid::new(pid)])
            .client(everything(), |_, _, _| {
                events += 1;
                if events == 1000 {
                    tell("attached");
                }
                Some(Action::Proceed)
            })
            .run();
        return;
    }
    let target = Target::start(fixtures::ATTACH_TARGET, &[]);
    for _ in 0..20 {
        let pid = target.pid().to_string();
        let mut tracer = Target::launch(&mut helper(TEST, &pid));
        assert_eq!(tracer.told(), "attached");
        tracer.signal(nix::sys::signal::Signal::SIGKILL);
        tracer.status();
        target.assert_untraced();
    }
    target.expect_ok();
}

#[test]
fn c12_a_panic_disturbs_nobody() {
    let target = Target::start(fixtures::EINTR_BLOCKERS, &[]);
    let pid = target.pid();
    for last in 0..30 {
        let tracer = std::thread::spawn(move || {
            let mut events = 0;
            Trace::attached(&[pid])
                .client(everything(), |_, _, _| {
                    assert!(events < last, "on purpose");
                    events += 1;
                    Some(Action::Proceed)
                })
                .run()
        });
        assert!(tracer.join().is_err());
        target.assert_untraced();
    }
    target.expect_ok();
}

/// Also if nobody but observers is there, whose stops go on at once.
#[test]
fn the_user_s_side_hears_of_stops() {
    let traces = || [1000, 2000].map(|calls| Trace::of(fixtures::REPEAT_CALLS).arg(calls));
    let observed = traces().map(|trace| {
        let (producer, _consumer) = buffer(64, Overflow::Drop);
        trace.observer(vec![all_syscalls()], producer)
    });
    let served =
        traces().map(|trace| trace.client(vec![all_syscalls()], |_, _, _| Some(Action::Proceed)));
    for trace in observed.into_iter().chain(served) {
        let traced = trace.run();
        traced.expect(0, "done\n");
        assert!((1..=32).contains(&traced.most_at_once), "{traced:?}");
    }
}
