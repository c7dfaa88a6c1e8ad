//! Idle CPUs that do not sleep while there are many stops.
//!
//! A stop is two switches between tracer and tracee, on two CPUs if there are two: each
//! wakes one that has gone idle a few microseconds before. On a virtual machine that is
//! one that the hypervisor has to start, at several times the cost of the stop. A process
//! may ask the kernel for short latencies as long as it keeps a file open (Documentation/
//! power/pm_qos_interface.rst); with a limit of 0 idle CPUs poll. That is the whole
//! machine's business, so it is done only while stops are many, and only where it makes
//! them a good deal cheaper.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use pai_ptrace::monotonic_nanos;

use super::{Cpu, SessionError, place};

/// What is said of success.
const KEPT: &str = "kept from sleeping while there were many stops";

const DEVICE: &str = "/dev/cpu_dma_latency";
const DRIVER: &str = "/sys/devices/system/cpu/cpuidle/current_driver";
/// The idle driver of guests of KVM: it can poll, or halt.
const OF_GUESTS: &str = "haltpoll";

/// Stops between two looks at the clock.
const WINDOW: u64 = 32;
/// The longest window, in nanoseconds, in which stops are many: 1000 per second.
const MANY: u64 = WINDOW * 1_000_000;
/// Windows of which the shortest counts: the target does other things, too.
const SAMPLES: u32 = 2;
/// Windows that do not count when CPUs may sleep again: those that poll go on with it for
/// a while.
const SETTLING: u32 = 4;
/// As many dear windows one after the other are no chance, nor as many with few stops.
const LASTING: u32 = 8;
/// Windows until what was of no use is tried again: at first, and at most.
const RETRY: [u32; 2] = [16, 1024];
/// How often it is looked whether there still are stops.
const TICK: Duration = Duration::from_millis(50);
/// Fewer than that in a tick are next to none: they are counted by so many.
const FEW: u64 = WINDOW;

/// What to do behind a window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    Nothing,
    Hold,
    Release,
}

/// Decides, from how long windows take with and without.
#[derive(Debug)]
struct Governor {
    phase: Phase,
    /// Windows until the next trial, if this one shows no use.
    patience: u32,
    /// Windows with few stops since the last with many, with CPUs awake.
    slow: u32,
}

#[derive(Debug)]
enum Phase {
    /// CPUs sleep; so many windows more do not count.
    Asleep(u32, Shortest),
    /// Held, for a comparison with this.
    Trial(u64, Shortest),
    /// It is of use. Windows take about so long; so many were much longer.
    Useful(u64, u32),
    /// It is not; for so many windows it is not tried again.
    Useless(u32),
}

/// Of some windows.
#[derive(Debug)]
struct Shortest {
    took: u64,
    missing: u32,
}

impl Shortest {
    const NONE: Self = Self {
        took: u64::MAX,
        missing: SAMPLES,
    };

    /// The shortest, once there are enough.
    fn with(&mut self, took: u64) -> Option<u64> {
        self.took = self.took.min(took);
        self.missing -= 1;
        (self.missing == 0).then_some(self.took)
    }
}

impl Governor {
    fn new() -> Self {
        Self {
            phase: Phase::Asleep(0, Shortest::NONE),
            patience: RETRY[0],
            slow: 0,
        }
    }

    fn is_useful(&self) -> bool {
        matches!(self.phase, Phase::Useful(..))
    }

    fn is_useless(&self) -> bool {
        matches!(self.phase, Phase::Useless(_))
    }

    /// `took`: nanoseconds of the window. `held`: whether CPUs were awake; that may have
    /// ended by itself, when stops were few.
    fn window(&mut self, took: u64, held: bool) -> Order {
        if took > MANY {
            // It stays what it is, for when there are many again.
            self.slow += u32::from(held);
            if self.slow < LASTING {
                return Order::Nothing;
            }
            self.slow = 0;
            return Order::Release;
        }
        self.slow = 0;
        match &mut self.phase {
            Phase::Asleep(0, shortest) => match shortest.with(took) {
                Some(asleep) => {
                    self.phase = Phase::Trial(asleep, Shortest::NONE);
                    Order::Hold
                }
                None => Order::Nothing,
            },
            Phase::Trial(..) | Phase::Useful(..) if !held => Order::Hold,
            Phase::Trial(asleep, shortest) => match shortest.with(took) {
                // Half as much again is more than chance.
                Some(awake) if awake.saturating_mul(3) <= asleep.saturating_mul(2) => {
                    self.phase = Phase::Useful(awake, 0);
                    self.patience = RETRY[0];
                    Order::Nothing
                }
                Some(_) => {
                    self.phase = Phase::Useless(self.patience);
                    self.patience = RETRY[1].min(self.patience * 2);
                    Order::Release
                }
                None => Order::Nothing,
            },
            Phase::Useful(usual, dear) if took > usual.saturating_mul(3) => {
                *dear += 1;
                if *dear < LASTING {
                    return Order::Nothing;
                }
                // Something has changed: other tasks, other load.
                self.phase = Phase::Asleep(SETTLING, Shortest::NONE);
                Order::Release
            }
            Phase::Useful(usual, dear) => {
                *usual = (*usual * 7 + took) / 8;
                *dear = 0;
                Order::Nothing
            }
            Phase::Useless(0) => {
                self.phase = Phase::Asleep(0, Shortest::NONE);
                Order::Nothing
            }
            Phase::Useless(left) | Phase::Asleep(left, _) => {
                *left -= 1;
                Order::Nothing
            }
        }
    }
}

/// The request, and whether it is still needed.
#[derive(Debug, Default)]
struct Shared {
    stops: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// While it is open, CPUs stay awake.
    request: Option<File>,
    over: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends requests when there have been few stops for a while: the tracer cannot, it
    /// waits for the next one.
    fn watch(&self) {
        let mut state = self.state();
        let mut before = 0;
        while !state.over {
            if state.request.is_none() {
                let woken = self.changed.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
                before = self.stops.load(Ordering::Relaxed);
                continue;
            }
            let woken = self.changed.wait_timeout(state, TICK);
            let (after, waited) = woken.unwrap_or_else(PoisonError::into_inner);
            state = after;
            let now = self.stops.load(Ordering::Relaxed);
            if waited.timed_out() && now - before < FEW {
                state.request = None;
            }
            before = now;
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Awake {
    /// `None`: CPUs do as they like, or are awake until the end.
    governor: Option<Governor>,
    /// So many stops until the next window is over.
    next: u64,
    since: u64,
    shared: Arc<Shared>,
    watcher: Option<JoinHandle<()>>,
    /// What was done, or why nothing.
    report: String,
}

impl Awake {
    /// # Errors
    /// When the user asked for it and it cannot be.
    pub(super) fn new(cpu: Cpu) -> Result<Self, SessionError> {
        let mut awake = Self {
            governor: None,
            next: WINDOW,
            since: 0,
            shared: Arc::default(),
            watcher: None,
            report: "left alone".to_owned(),
        };
        match cpu {
            Cpu::Awake => {
                let request = request().map_err(SessionError::Awake)?;
                awake.shared.state().request = Some(request);
                awake.report = "kept from sleeping".to_owned();
            }
            // A stop wakes nobody on another one.
            Cpu::Auto if place::is_one() => awake.report = "left alone: one is used".to_owned(),
            Cpu::Auto => match fs::read(DRIVER) {
                Ok(driver) if driver.trim_ascii() == OF_GUESTS.as_bytes() => {
                    awake.governor = Some(Governor::new());
                    awake.since = monotonic_nanos();
                    awake.report = "left alone: stops were few".to_owned();
                }
                _ => awake.report = "left alone: not those of a guest of KVM".to_owned(),
            },
            Cpu::Free | Cpu::Same | Cpu::Number(_) => {}
        }
        Ok(awake)
    }

    /// So many stops there have been.
    pub(super) fn stopped(&mut self, stops: u64) {
        let Some(governor) = &mut self.governor else {
            return;
        };
        self.shared.stops.store(stops, Ordering::Relaxed);
        if stops < self.next {
            return;
        }
        self.next = stops + WINDOW;
        let now = monotonic_nanos();
        let took = now - std::mem::replace(&mut self.since, now);
        let held = self.watcher.is_some() && self.shared.state().request.is_some();
        let order = governor.window(took, held);
        if order != Order::Nothing {
            tracing::debug!(target: "pai::host", took, held, ?order, ?governor, "idle CPUs");
        }
        match order {
            Order::Nothing => {}
            Order::Hold => {
                if let Err(error) = self.hold() {
                    let done = match self.report.as_str() {
                        KEPT => KEPT,
                        _ => "left alone",
                    };
                    self.report = format!("{done}: {DEVICE}: {error}");
                    self.governor = None;
                }
            }
            Order::Release => self.shared.state().request = None,
        }
        if self.report == KEPT {
            return;
        }
        if self.governor.as_ref().is_some_and(Governor::is_useful) {
            self.report = KEPT.to_owned();
        } else if self.governor.as_ref().is_some_and(Governor::is_useless) {
            self.report = "left alone: stops get no cheaper".to_owned();
        }
    }

    /// Does what stops this process: nobody would let CPUs sleep meanwhile.
    pub(super) fn asleep<T>(&mut self, act: impl FnOnce() -> T) -> T {
        let held = self.shared.state().request.take().is_some();
        let done = act();
        // A governor asks again when there are many stops.
        if held && self.governor.is_none() {
            match request() {
                Ok(request) => self.shared.state().request = Some(request),
                Err(error) => self.report = format!("kept from sleeping: {DEVICE}: {error}"),
            }
        }
        done
    }

    fn hold(&mut self) -> io::Result<()> {
        let request = request()?;
        if self.watcher.is_none() {
            let shared = Arc::clone(&self.shared);
            let watcher = thread::Builder::new().name("pai-awake".into());
            self.watcher = Some(watcher.spawn(move || shared.watch())?);
        }
        self.shared.state().request = Some(request);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// CPUs may sleep again. What was done about it.
    pub(super) fn end(&mut self) -> String {
        self.governor = None;
        let mut state = self.shared.state();
        state.request = None;
        state.over = true;
        drop(state);
        self.shared.changed.notify_one();
        if let Some(watcher) = self.watcher.take()
            && watcher.join().is_err()
        {
            tracing::debug!(target: "pai::host", "the watcher of stops panicked");
        }
        std::mem::take(&mut self.report)
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.end();
    }
}

fn request() -> io::Result<File> {
    let mut file = File::options().write(true).open(DEVICE)?;
    file.write_all(&0_i32.to_ne_bytes())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::Order::{Hold, Nothing, Release};
    use super::*;

    const DEAR: u64 = WINDOW * 50_000;
    const CHEAP: u64 = WINDOW * 10_000;

    /// What is ordered behind windows that took so long.
    fn orders(governor: &mut Governor, held: bool, windows: &[u64]) -> Vec<Order> {
        let windows = windows.iter();
        windows.map(|took| governor.window(*took, held)).collect()
    }

    #[test]
    fn it_is_tried_and_kept_where_it_helps() {
        let mut governor = Governor::new();
        let asleep = orders(&mut governor, false, &[MANY + 1, DEAR, MANY + 1, DEAR * 3]);
        assert_eq!(asleep, [Nothing, Nothing, Nothing, Hold]);
        let windows = [DEAR, CHEAP, CHEAP, CHEAP * 4, CHEAP * 2, MANY + 1];
        assert_eq!(orders(&mut governor, true, &windows), [Nothing; 6]);
        assert!(governor.is_useful());
        // Few stops, and it was given up; then there are many again.
        let again = orders(&mut governor, false, &[MANY + 1, DEAR]);
        assert_eq!(again, [Nothing, Hold]);
        assert_eq!(orders(&mut governor, true, &[CHEAP; 3]), [Nothing; 3]);
    }

    #[test]
    fn it_is_given_up_where_it_does_not() {
        let mut governor = Governor::new();
        for pause in [16, 32, 64, 128, 256, 512, 1024, 1024] {
            assert_eq!(orders(&mut governor, false, &[CHEAP; 2]), [Nothing, Hold]);
            // A pause of the target says nothing.
            let awake = orders(&mut governor, true, &[MANY + 1, CHEAP, CHEAP * 3 / 4]);
            assert_eq!(awake, [Nothing, Nothing, Release]);
            for _ in 0..=pause {
                assert_eq!(governor.window(CHEAP, false), Nothing);
            }
        }
    }

    #[test]
    fn it_is_compared_again_when_stops_get_dearer() {
        let mut governor = Governor::new();
        assert_eq!(orders(&mut governor, false, &[DEAR; 2]), [Nothing, Hold]);
        assert_eq!(orders(&mut governor, true, &[CHEAP; 3]), [Nothing; 3]);
        // By and by, and then for good.
        let slower = [CHEAP * 3, CHEAP * 3, CHEAP * 4];
        assert_eq!(orders(&mut governor, true, &slower), [Nothing; 3]);
        assert_eq!(orders(&mut governor, true, &[DEAR * 3; 7]), [Nothing; 7]);
        assert_eq!(orders(&mut governor, true, &[CHEAP]), [Nothing]);
        assert_eq!(orders(&mut governor, true, &[DEAR * 3; 7]), [Nothing; 7]);
        assert_eq!(orders(&mut governor, true, &[DEAR * 3]), [Release]);
        // Those that still poll.
        assert_eq!(orders(&mut governor, false, &[CHEAP; 4]), [Nothing; 4]);
        assert_eq!(orders(&mut governor, false, &[DEAR; 2]), [Nothing, Hold]);
        assert_eq!(orders(&mut governor, true, &[DEAR; 2]), [Nothing, Release]);
    }

    #[test]
    fn a_trial_that_ended_by_itself_goes_on() {
        let mut governor = Governor::new();
        let orders_of = orders(&mut governor, false, &[DEAR; 3]);
        assert_eq!(orders_of, [Nothing, Hold, Hold]);
        assert_eq!(orders(&mut governor, true, &[CHEAP; 3]), [Nothing; 3]);
    }

    #[test]
    fn a_trial_does_not_go_on_with_few_stops() {
        let mut governor = Governor::new();
        assert_eq!(orders(&mut governor, false, &[DEAR; 2]), [Nothing, Hold]);
        assert_eq!(orders(&mut governor, true, &[MANY + 1; 7]), [Nothing; 7]);
        assert_eq!(orders(&mut governor, true, &[CHEAP]), [Nothing]);
        assert_eq!(orders(&mut governor, true, &[MANY + 1; 7]), [Nothing; 7]);
        assert_eq!(orders(&mut governor, true, &[MANY + 1]), [Release]);
        assert_eq!(orders(&mut governor, false, &[MANY + 1; 9]), [Nothing; 9]);
        // When there are many again it is decided.
        assert_eq!(orders(&mut governor, false, &[CHEAP]), [Hold]);
        assert_eq!(orders(&mut governor, true, &[CHEAP]), [Nothing]);
        assert!(governor.is_useful());
    }

    #[test]
    fn a_stopped_process_lets_cpus_sleep() {
        // As who may: nobody else has anything to give up.
        let Ok(mut awake) = Awake::new(Cpu::Awake) else {
            return;
        };
        let shared = Arc::clone(&awake.shared);
        assert!(shared.state().request.is_some());
        awake.asleep(|| assert!(shared.state().request.is_none()));
        assert!(shared.state().request.is_some());
        awake.end();
        awake.asleep(|| assert!(shared.state().request.is_none()));
        assert!(shared.state().request.is_none());
    }

    #[test]
    fn nobody_is_left_behind() {
        for cpu in [Cpu::Auto, Cpu::Free, Cpu::Same, Cpu::Number(0)] {
            let mut awake = Awake::new(cpu).unwrap();
            // Where stops are many there is a request, if it may be.
            for stops in 0..10 * WINDOW {
                awake.stopped(stops);
            }
            let asked = awake.shared.state().request.is_some();
            assert!(!asked || cpu == Cpu::Auto);
            let shared = Arc::clone(&awake.shared);
            assert!(!awake.end().is_empty());
            assert!(shared.state().request.is_none());
            assert_eq!(Arc::strong_count(&shared), 2);
        }
    }
}
