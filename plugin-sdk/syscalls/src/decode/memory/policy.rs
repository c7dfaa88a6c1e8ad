//! Which nodes memory is on: linux/mempolicy.h, set_mempolicy(2), mbind(2),
//! move_pages(2).

use alloc::borrow::Cow;
use alloc::format;

use crate::decode::schema::prelude::*;
use crate::decode::schema::sets;
use crate::errno;

sets! {
    /// Policies, without flags.
    POLICY "MPOL_???" {
        MPOL_DEFAULT = 0, MPOL_PREFERRED = 1, MPOL_BIND = 2, MPOL_INTERLEAVE = 3,
        MPOL_LOCAL = 4, MPOL_PREFERRED_MANY = 5, MPOL_WEIGHTED_INTERLEAVE = 6,
    }
    /// A policy that has a name, with flags.
    POLICY_WITH_FLAGS "MPOL_???" first(!0xe000 => POLICY) {
        MPOL_F_STATIC_NODES = 0x8000, MPOL_F_RELATIVE_NODES = 0x4000,
        MPOL_F_NUMA_BALANCING = 0x2000,
    }
    /// Flags of a policy that has no name.
    POLICY_FLAGS "MPOL_???" {
        MPOL_F_STATIC_NODES = 0x8000, MPOL_F_RELATIVE_NODES = 0x4000,
        MPOL_F_NUMA_BALANCING = 0x2000,
    }
    /// get_mempolicy(2)
    GET "MPOL_???" { MPOL_F_NODE = 1, MPOL_F_ADDR = 2, MPOL_F_MEMS_ALLOWED = 4 }
    /// mbind(2)
    BIND "MPOL_???" { MPOL_MF_STRICT = 1, MPOL_MF_MOVE = 2, MPOL_MF_MOVE_ALL = 4 }
    /// move_pages(2)
    MOVE "MPOL_???" { MPOL_MF_MOVE = 2, MPOL_MF_MOVE_ALL = 4 }
}

fn policy(value: Value, _: &View<'_>) -> Value {
    const FLAGS: u64 = 0xe000;
    let value = value.number().unwrap_or(0);
    match (POLICY.name(value & !FLAGS), value & FLAGS) {
        (_, 0) => Value::One(value, &POLICY),
        (Some(_), _) => Value::Flags(value, &POLICY_WITH_FLAGS),
        (None, _) => Value::Flags(value, &POLICY_FLAGS),
    }
}

/// The node of a page, or the error that says why it has none.
fn status(status: Value, _: &View<'_>) -> Value {
    let status = status.number().unwrap_or(0).cast_signed();
    let name = u32::try_from(status.unsigned_abs())
        .ok()
        .and_then(errno::name);
    match name.filter(|_| status < 0) {
        Some(name) => Value::Named(status.cast_unsigned(), Cow::Owned(format!("-{name}"))),
        None => Value::Signed(status),
    }
}

/// A word of a set of nodes, in all its digits.
fn node_word(word: Value, view: &View<'_>) -> Value {
    let word = word.number().unwrap_or(0);
    let width = 2 * Long.bytes(view.abi);
    let text = match word {
        0 => format!("{word:0width$}"),
        _ => format!("{word:#0width$x}"),
    };
    Value::Named(word, Cow::Owned(text))
}

/// As wide as a `long`.
const NODE_WORD: Type = Then(&ULONG, node_word);

/// How many words hold a set: the kernel takes one from the number of nodes.
fn words(maxnode: u64, view: &View<'_>) -> u64 {
    let bits = 8 * Long.bytes(view.abi) as u64;
    maxnode.wrapping_sub(1).wrapping_add(bits - 1) / bits
}

/// A set of so many nodes, if that makes any words.
macro_rules! nodes {
    ($name:ident, $dir:ident, $maxnode:literal) => {
        fn $name(view: &View<'_>) -> &'static Type {
            match (view.arg($maxnode), words(view.arg($maxnode), view)) {
                (1.., 0) => &ADDRESS,
                _ => {
                    const {
                        &Array(
                            $dir,
                            &NODE_WORD,
                            Len::With(|view| words(view.arg($maxnode), view)),
                        )
                    }
                }
            }
        }
    };
}

nodes!(nodes_of_mbind, In, 4);
nodes!(nodes_to_set, In, 2);
nodes!(nodes_to_get, Out, 2);
nodes!(nodes_to_migrate, In, 1);

calls! { CALLS
    mbind(
        start: ADDRESS, len: ULONG, mode: Then(&ULONG, policy), nmask: Pick(nodes_of_mbind, 0),
        maxnode: ULONG, flags: flags(&BIND),
    ) -> I32;
    set_mempolicy(mode: Then(&U32, policy), nmask: Pick(nodes_to_set, 0), maxnode: ULONG) -> I32;
    get_mempolicy(
        policy: To(Out, &Then(&U32, policy)), nmask: Pick(nodes_to_get, 0), maxnode: ULONG,
        addr: ADDRESS, flags: long_flags(&GET),
    ) -> I32;
    set_mempolicy_home_node(start: ADDRESS, len: ULONG, home_node: ULONG, flags: XLONG) -> I32;
    migrate_pages(
        pid: PID, maxnode: ULONG, old_nodes: Pick(nodes_to_migrate, 0),
        new_nodes: Pick(nodes_to_migrate, 0),
    ) -> I32;
    move_pages(
        pid: PID, nr_pages: ULONG, pages: Array(In, &ADDRESS, Len::Arg(1)),
        nodes: Array(In, &I32, Len::Arg(1)), status: Array(Out, &Then(&I32, status), Len::Arg(1)),
        flags: flags(&MOVE),
    ) -> I32;
}
