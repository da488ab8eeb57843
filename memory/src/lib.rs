//! An allocator by size classes, for a program of one thread.
//!
//! A request of the picker makes some hundred small allocations and frees all of them. The standard library's
//! allocator for WebAssembly searches its bins and joins neighbours each time, which was a tenth of a small
//! request's work. Here a small block comes from the list of its class and goes back to it, a few instructions
//! each. Large ones, of which a request has a handful, are the standard library's still.
//!
//! What a class has freed serves that class only, so that memory is bounded by what each class held at its
//! busiest, all together. The workspace forbids `unsafe`; the trait of an allocator cannot be written without,
//! so this crate is the one exception, and has nothing else in it.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ptr::{self, NonNull},
};

/// Bytes by which the small classes grow, and the alignment of every block: what WebAssembly's widest value
/// asks for.
const STEP: usize = 16;

/// Bytes up to which classes grow by steps: a header's name and value, a string, a node of a table.
const STEPPED_MAX: usize = 256;

/// Classes that grow by steps.
const STEPPED: usize = STEPPED_MAX / STEP;

/// Bytes of the largest class. From here on a block is a body or a table of many entries, which is seldom made,
/// and rounding it up to a class would cost memory.
const BLOCK_MAX: usize = 4_096;

/// All classes: those by steps, and the powers of two above them.
const CLASSES: usize = STEPPED + (BLOCK_MAX / STEPPED_MAX).ilog2() as usize;

/// Bytes that are taken from the standard library's allocator at once, and cut into blocks: a page of
/// WebAssembly's. What is left of one when a larger block is wanted is lost, less than a block each time.
const SLAB: usize = 64 << 10;

/// Allocator by size classes.
#[derive(Debug)]
pub struct SizeClasses {
    /// The block that was freed last, by class.
    freed: [Cell<Option<NonNull<FreeBlock>>>; CLASSES],
    /// First byte of the slab that is in no block yet.
    slab: Cell<*mut u8>,
    /// Bytes of it that are left.
    left: Cell<usize>,
}

/// A block that is free: the next one of its class stands in its first bytes.
#[derive(Debug)]
struct FreeBlock {
    next: Option<NonNull<Self>>,
}

/// A class: its number, and the bytes of each of its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Class {
    index: usize,
    bytes: usize,
}

impl Class {
    /// Returns the class of a layout; `None` for one that no block holds.
    #[inline]
    const fn of_layout(layout: Layout) -> Option<Self> {
        let size = layout.size();
        if layout.align() > STEP || size > BLOCK_MAX {
            return None;
        }
        if size <= STEPPED_MAX {
            // Nothing takes as much as one byte.
            let index = size.saturating_sub(1) / STEP;
            return Some(Self { index, bytes: (index + 1) * STEP });
        }
        let bytes = size.next_power_of_two();
        let doublings = (bytes / STEPPED_MAX).ilog2() as usize;
        Some(Self { index: STEPPED + doublings - 1, bytes })
    }
}

impl SizeClasses {
    /// Makes an allocator that has taken no memory yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            freed: [const { Cell::new(None) }; CLASSES],
            slab: Cell::new(ptr::null_mut()),
            left: Cell::new(0),
        }
    }

    /// Cuts a block out of the slab, or of a new one; null if there is no memory.
    #[cold]
    #[inline(never)]
    fn cut(&self, bytes: usize) -> *mut u8 {
        if self.left.get() < bytes {
            let Ok(layout) = Layout::from_size_align(SLAB, STEP) else { return ptr::null_mut() };
            // SAFETY: the layout is not empty.
            let slab = unsafe { System.alloc(layout) };
            if slab.is_null() {
                return slab;
            }
            self.slab.set(slab);
            self.left.set(SLAB);
        }
        let block = self.slab.get();
        // A block is no larger than what is left, so that the end of it is in the slab, or just behind it.
        self.slab.set(block.wrapping_add(bytes));
        self.left.set(self.left.get() - bytes);
        block
    }

    /// Returns the list of a class. There is one for each that [`Class::of_layout`] returns.
    #[inline]
    fn list(&self, class: Class) -> Option<&Cell<Option<NonNull<FreeBlock>>>> {
        self.freed.get(class.index)
    }
}

impl Default for SizeClasses {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: without threads there is nothing to share the cells with.
#[cfg(all(target_family = "wasm", not(target_feature = "atomics")))]
unsafe impl Sync for SizeClasses {}

// Not inline: a module has thousands of places that allocate, and code that runs cold costs more than a call.
// SAFETY: a block is in one place at a time, its class's list or the program: it leaves the list when it is
// allocated, comes back when it is freed, and slabs are never given back. It is as large and as aligned as its
// class, which is computed from the layout alone, so that it is freed to the class that it came from.
unsafe impl GlobalAlloc for SizeClasses {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = Class::of_layout(layout) else {
            // SAFETY: the caller's promise, handed on.
            return unsafe { System.alloc(layout) };
        };
        let Some(list) = self.list(class) else { return ptr::null_mut() };
        let Some(block) = list.get() else { return self.cut(class.bytes) };
        // SAFETY: a block in a list is free, and was written as one when it was freed.
        list.set(unsafe { block.as_ref() }.next);
        block.as_ptr().cast()
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(class) = Class::of_layout(layout) else {
            // SAFETY: the caller's promise, handed on; a block of this layout is the standard library's.
            return unsafe { System.dealloc(block, layout) };
        };
        let (Some(list), Some(freed)) = (self.list(class), NonNull::new(block.cast::<FreeBlock>()))
        else {
            return;
        };
        let next = list.get();
        // SAFETY: the block is the caller's no more, and every block is large and aligned enough.
        unsafe { freed.write(FreeBlock { next }) };
        list.set(Some(freed));
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if Class::of_layout(layout).is_none() {
            // SAFETY: the caller's promise, handed on. Fresh memory need not be cleared.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: the caller's promise, handed on.
        let block = unsafe { self.alloc(layout) };
        if !block.is_null() {
            // SAFETY: the block has as many bytes.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Ok(wanted) = Layout::from_size_align(size, layout.align()) else {
            return ptr::null_mut();
        };
        match (Class::of_layout(layout), Class::of_layout(wanted)) {
            (Some(before), Some(after)) if before == after => return block,
            // SAFETY: the caller's promise, handed on; a block of this layout is the standard library's.
            (None, None) => return unsafe { System.realloc(block, layout, size) },
            _ => (),
        }
        // SAFETY: the caller's promise, handed on: the size is not zero.
        let moved = unsafe { self.alloc(wanted) };
        if !moved.is_null() {
            let kept = layout.size().min(size);
            // SAFETY: both have as many bytes, and the new one is none that the program has.
            unsafe { ptr::copy_nonoverlapping(block, moved, kept) };
            // SAFETY: the block is of this layout, and the caller uses the new one from now on.
            unsafe { self.dealloc(block, layout) };
        }
        moved
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_class_holds_its_layouts() {
        let mut last = 0;
        for size in 1..=BLOCK_MAX {
            for align in [1, 2, 4, 8, 16] {
                let class =
                    Class::of_layout(Layout::from_size_align(size, align).unwrap()).unwrap();
                assert!(class.bytes >= size && class.index < CLASSES, "{size}: {class:?}");
                assert!(size < 32 || class.bytes < 2 * size, "{size}: {class:?}");
                assert!(class.index == last || class.index == last + 1, "{size}: {class:?}");
                last = class.index;
            }
        }
        assert_eq!(last, CLASSES - 1);
        let is_none =
            |size, align| Class::of_layout(Layout::from_size_align(size, align).unwrap()).is_none();
        assert!(is_none(BLOCK_MAX + 1, 1) && is_none(32, 32));
    }

    /// A block that a script holds, filled with its number.
    struct Held {
        block: *mut u8,
        layout: Layout,
        mark: u8,
    }

    impl Held {
        fn is_intact(&self, bytes: usize) -> bool {
            // SAFETY: the script has not freed it.
            (0..bytes).all(|at| unsafe { *self.block.add(at) } == self.mark)
        }

        fn fill(&self) {
            // SAFETY: the block has as many bytes.
            unsafe { self.block.write_bytes(self.mark, self.layout.size()) };
        }
    }

    #[test]
    fn blocks_are_apart_and_keep_what_is_in_them() {
        arbtest::arbtest(|u| {
            let memory = SizeClasses::new();
            let mut held: Vec<Held> = Vec::new();
            for mark in 0..u.int_in_range(0..=60_u8)? {
                let size = *u.choose(&[1, 7, 16, 17, 200, 256, 257, 1_000, 4_096, 4_097, 9_000])?;
                let align = 1 << u.int_in_range(0..=5)?;
                match u.int_in_range(0..=3)? {
                    0 if !held.is_empty() => {
                        let gone = held.swap_remove(u.choose_index(held.len())?);
                        assert!(gone.is_intact(gone.layout.size()));
                        // SAFETY: it was allocated with this layout, and is freed once.
                        unsafe { memory.dealloc(gone.block, gone.layout) };
                    }
                    1 if !held.is_empty() => {
                        let at = u.choose_index(held.len())?;
                        let grown = &mut held[at];
                        let before = grown.layout;
                        // SAFETY: it was allocated with this layout.
                        grown.block = unsafe { memory.realloc(grown.block, before, size) };
                        grown.layout = Layout::from_size_align(size, before.align()).unwrap();
                        assert!(grown.is_intact(before.size().min(size)));
                        grown.fill();
                    }
                    kind => {
                        let layout = Layout::from_size_align(size, align).unwrap();
                        // SAFETY: the layout is not empty.
                        let block = unsafe {
                            if kind == 2 {
                                memory.alloc_zeroed(layout)
                            } else {
                                memory.alloc(layout)
                            }
                        };
                        assert!(!block.is_null() && block.addr() % align == 0);
                        let fresh = Held { block, layout, mark: 0 };
                        assert!(kind != 2 || fresh.is_intact(size), "zeroed");
                        held.push(Held { mark, ..fresh });
                        held.last().unwrap().fill();
                    }
                }
                assert!(held.iter().all(|it| it.is_intact(it.layout.size())));
            }
            Ok(())
        });
    }

    #[test]
    fn what_was_freed_is_used_again() {
        let memory = SizeClasses::new();
        let sizes = [16, 100, 300, 4_000];
        let round = || {
            let layouts = sizes.map(|size| Layout::from_size_align(size, 8).unwrap());
            // SAFETY: the layouts are not empty.
            let blocks = layouts.map(|layout| unsafe { memory.alloc(layout) });
            for (block, layout) in blocks.into_iter().zip(layouts) {
                // SAFETY: each was allocated with its layout, and is freed once.
                unsafe { memory.dealloc(block, layout) };
            }
            memory.left.get()
        };
        let left = round();
        assert!((0..1_000).all(|_| round() == left));
    }
}
