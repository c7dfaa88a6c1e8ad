//! Steps over the uprobes of others.
//!
//! A uprobe, of bpftrace or perf, is an `int3` in the memory of the target. The kernel
//! executes the instruction that was there. Behind it a task that is stepped gets a
//! SIGTRAP as if it had sent that to itself (arch_uprobe_skip_sstep and
//! arch_uprobe_post_xol in arch/x86/kernel/uprobes.c): the end of the step.
//!
//! It is told from what the target sends to itself by where the step began: at an `int3`
//! that is not ours. If that is no uprobe its trap has a code of its own. What was sent
//! to the process comes behind what is for the task alone (dequeue_signal in
//! kernel/signal.c), or before the step has changed anything; what was sent to the task
//! has another code. An instruction that jumps to itself changes nothing either: there
//! the SIGTRAP is taken for the target's.

use pai_ptrace::{Pid, Regs, SigInfo, Tid};

use crate::displaced::StepKind;
use crate::engine::Engine;
use crate::procfs;

/// si_code of what is sent by kill, and by the kernel behind a uprobe
/// (asm-generic/siginfo.h).
const SI_USER: i32 = 0;

impl Engine {
    /// Before a step of a task that has these registers and executes this next.
    pub(crate) fn note_trap(&mut self, tid: Tid, kind: Option<StepKind>, regs: &Regs) {
        // An interrupt has come before the trap of the step before.
        if self.owes_step(tid) {
            return;
        }
        if let Some(task) = self.tasks.get_mut(&tid) {
            let traps = kind == Some(StepKind::Trap);
            task.trap.from_trap = traps.then(|| Box::new(*regs));
        }
    }

    /// The same for a task whose signal is delivered first, which may change nothing.
    pub(crate) fn note_trap_behind_signal(&mut self, tid: Tid, pid: Pid, regs: &Regs) {
        let kind = self.next_instruction(pid, regs);
        self.note_trap(tid, kind, regs);
    }
}

/// Whether a SIGTRAP is the end of a step that began with the registers `from`, at an
/// `int3` that is not ours.
pub(crate) fn is_behind(tid: Tid, info: &SigInfo, from: &Regs, regs: &Regs) -> bool {
    info.code() == SI_USER
        && !from.same_state(regs)
        && info.sender().is_some()
        && info.sender() == procfs::pid_inside(tid)
}
