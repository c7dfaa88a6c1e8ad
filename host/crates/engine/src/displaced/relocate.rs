//! A copy of an instruction that does the same elsewhere.

use iced_x86::Mnemonic;

use crate::displaced::Width;
use crate::displaced::decode::Decoded;

/// `jmp rel32`.
const JUMP: u8 = 0xe9;
const JUMP_LEN: usize = 5;

/// The code for the slot, and whether the instruction differs from the
/// original; or why there is none.
///
/// The instruction keeps its bytes, all prefixes and its length, so that it
/// cannot come to mean anything else. Only the four bytes that hold a distance
/// from it are changed, if there are any.
pub(crate) fn copy(decoded: &Decoded<'_>, slot: u64) -> Result<(Vec<u8>, bool), &'static str> {
    let width = decoded.width;
    if slot != width.address(slot) {
        return Err("the slot is out of reach of 32-bit code");
    }
    let len = decoded.bytes.len();
    let mut code = Vec::with_capacity(len + JUMP_LEN);
    code.extend_from_slice(decoded.bytes);

    let behind = slot.wrapping_add(len as u64);
    let adjusted = match named(decoded) {
        None => false,
        Some(Named { target, at, narrow }) => {
            let distance = if narrow {
                wrapping_distance(behind, target)
            } else {
                distance(behind, target, width)
                    .ok_or("what the instruction names is out of reach of the slot")?
            };
            let field = code
                .get_mut(at..at + 4)
                .ok_or("the distance has an unknown form")?;
            field.copy_from_slice(&distance.to_le_bytes());
            true
        }
    };

    let back = distance(behind.wrapping_add(JUMP_LEN as u64), decoded.next(), width)
        .ok_or("the instruction is out of reach of the slot")?;
    code.push(JUMP);
    code.extend_from_slice(&back.to_le_bytes());
    Ok((code, adjusted))
}

/// What an instruction names relative to itself.
struct Named {
    target: u64,
    /// Where the distance is, among its bytes.
    at: usize,
    /// The address has 32 bits in 64-bit code: it is reached from everywhere.
    narrow: bool,
}

fn named(decoded: &Decoded<'_>) -> Option<Named> {
    let instruction = &decoded.instruction;
    if instruction.is_ip_rel_memory_operand() {
        return Some(Named {
            // The decoder gives the address, not the distance.
            target: instruction.ip_rel_memory_address(),
            at: decoded.offsets.displacement_offset(),
            narrow: instruction.memory_base() == iced_x86::Register::EIP,
        });
    }
    // Where an aborted transaction goes on (Intel SDM vol. 2, XBEGIN).
    (instruction.mnemonic() == Mnemonic::Xbegin).then(|| Named {
        target: instruction.near_branch_target(),
        at: decoded.offsets.immediate_offset(),
        narrow: false,
    })
}

/// The distance as an instruction holds it, if it can.
fn distance(from: u64, to: u64, width: Width) -> Option<i32> {
    match width {
        Width::Bits64 => i32::try_from(to.wrapping_sub(from).cast_signed()).ok(),
        // Addresses wrap around at 4 GiB.
        Width::Bits32 => Some(wrapping_distance(from, to)),
    }
}

/// The lower half of the distance.
fn wrapping_distance(from: u64, to: u64) -> i32 {
    (to.wrapping_sub(from) as u32).cast_signed()
}
