//! Buffers, text, and arrays of text. What was left out because there was no room for it
//! shows as far as it is known, with dots behind; what could not be read does not show.

use crate::decode::captured::When;
use crate::decode::ends::{Build, Memory, Purpose};
use crate::decode::layout;
use crate::decode::limits::Limits;
use crate::decode::schema::{Look, Type, Width};
use crate::decode::view::View;

use super::{MAX_SHOWN, Walk};

impl<'a, M: Memory<'a>, B: Build> Walk<'_, M, B> {
    /// How many of so many more bytes may be shown, which they then are.
    fn room(&mut self, count: usize) -> usize {
        let count = count.min(MAX_SHOWN - self.shown);
        self.shown += count;
        count
    }

    /// Whether a text is not here because there was no room for it.
    fn is_left_out(&self, addr: u64, when: When) -> bool {
        let known = self.memory.get(when, addr, 1, Purpose::Text);
        known.is_empty() && self.memory.is_cut(when, addr, 0)
    }

    /// So many bytes; nothing if some of those that are wanted cannot be read.
    pub(super) fn buffer(&mut self, addr: u64, len: u64, look: Look, when: When) -> Option<B::Out> {
        // One more than is shown has to be there as well.
        let read = (self.limits.text as u64 + 1).min(len);
        let read = usize::try_from(read).unwrap_or(0);
        let bytes = self.memory.get(when, addr, read, Purpose::Plain);
        if bytes.len() < read && !self.memory.is_cut(when, addr, bytes.len()) {
            return None;
        }
        let shown = self.room(bytes.len().min(self.limits.text));
        Some(self.build.bytes(&bytes[..shown], shown < read, false, look))
    }

    pub(super) fn text(
        &mut self,
        addr: u64,
        when: When,
        most: usize,
        whole: bool,
    ) -> Option<B::Out> {
        let bytes = self.memory.get(when, addr, most + 1, Purpose::Text);
        let end = bytes.iter().position(|byte| *byte == 0);
        if end.is_none() && bytes.len() <= most && !self.memory.is_cut(when, addr, bytes.len()) {
            // It runs into memory that is not there.
            return None;
        }
        let len = end.unwrap_or(bytes.len()).min(most);
        let shown = self.room(len);
        let more = shown < len || end.is_none_or(|end| end > most);
        Some(self.build.bytes(&bytes[..shown], more, whole, Look::Text))
    }

    pub(super) fn strings(&mut self, addr: u64, when: When, view: &View<'a>) -> Option<B::Out> {
        let size = Width::Long.bytes(view.abi);
        let most = self.limits.items;
        let read = size * (most + 1);
        let bytes = self.memory.get(when, addr, read, Purpose::Leading);
        if bytes.len() < size {
            return None;
        }
        let mut items = B::Items::default();
        let mut done = 0;
        let mut left_out = self.memory.is_cut(when, addr, bytes.len());
        for part in bytes.chunks_exact(size) {
            let at = layout::number(part, 0, size)?;
            if at == 0 {
                return Some(self.build.array(items, None, false));
            }
            if done == most {
                break;
            }
            if self.is_left_out(at, when) {
                left_out = true;
                break;
            }
            let text = self.pointer(&Type::Text, at, when, view);
            self.build.item(&mut items, text);
            done += 1;
        }
        let next = addr.wrapping_add((done * size) as u64);
        let missing = done < most && !left_out;
        Some(self.build.array(items, Some(next), missing))
    }

    pub(super) fn environment(&mut self, addr: u64, when: When, view: &View<'a>) -> Option<B::Out> {
        const MOST: usize = 4096;
        let size = Width::Long.bytes(view.abi);
        let whole = self.limits.items >= Limits::ALL;
        let purpose = match whole {
            true => Purpose::Leading,
            false => Purpose::Plain,
        };
        let bytes = self.memory.get(when, addr, size * MOST, purpose);
        if bytes.len() < size {
            return None;
        }
        let pointers = || bytes.chunks_exact(size);
        let end = pointers().position(|part| layout::number(part, 0, size) == Some(0));
        if end.is_none() && bytes.len() == size * MOST {
            return None;
        }
        let count = end.unwrap_or(bytes.len() / size);
        let mut items = B::Items::default();
        let place = |index: usize| addr.wrapping_add((index * size) as u64);
        let mut next = end.is_none().then_some(place(count));
        if whole {
            for (index, part) in pointers().take(count).enumerate() {
                let at = layout::number(part, 0, size)?;
                if self.is_left_out(at, when) {
                    next = Some(place(index));
                    break;
                }
                let text = self.pointer(&Type::Text, at, when, view);
                self.build.item(&mut items, text);
            }
        }
        let missing = end.is_none() && !self.memory.is_cut(when, addr, bytes.len());
        Some(self.build.counted(addr, items, next, missing, count))
    }
}
