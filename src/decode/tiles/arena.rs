//! Memory for weights: one mapping for a whole model, on large pages where the system gives them.

use std::sync::Arc;

use memmap2::MmapMut;

/// Every matrix begins on a cache line.
const LINE: usize = 64;

/// Bytes that are filled once and read from then on. Clones share them.
#[derive(Debug, Clone)]
pub(in crate::decode) struct Arena(Arc<MmapMut>);

/// An arena that is being filled.
#[derive(Debug)]
pub(in crate::decode) struct Filling {
    map: MmapMut,
    len: usize,
}

impl Filling {
    /// Room for `bytes`. Pages are touched, and so taken from the system, only when they are written.
    ///
    /// # Errors
    /// The system refuses so much address space.
    pub(in crate::decode) fn new(bytes: usize) -> std::io::Result<Self> {
        let map = MmapMut::map_anon(bytes.max(LINE))?;
        // A wish: without large pages everything works, a third slower (each small page costs a miss in the tables).
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Self { map, len: 0 })
    }

    /// The next `bytes` bytes, all zero, and where they begin; `None` when there is no room.
    pub(in crate::decode) fn take(&mut self, bytes: usize) -> Option<(usize, &mut [u8])> {
        let begin = self.len.next_multiple_of(LINE);
        let end = begin.checked_add(bytes)?;
        let part = self.map.get_mut(begin..end)?;
        self.len = end;
        Some((begin, part))
    }

    /// From now on it is only read.
    pub(in crate::decode) fn finish(self) -> Arena {
        Arena(Arc::new(self.map))
    }
}

impl Arena {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
