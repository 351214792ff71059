//! A mark for each message of a maildrop: deleted, retrieved, gone. One bit a message, and no memory
//! before the first mark.

/// Marks on some of a maildrop's messages, by their place from 0.
#[derive(Clone, Debug)]
pub(super) struct Marks {
    messages: usize,
    words: Vec<u64>,
    count: usize,
}

impl Marks {
    /// No marks, for so many messages.
    pub(super) fn new(messages: usize) -> Self {
        Marks {
            messages,
            words: Vec::new(),
            count: 0,
        }
    }

    /// Marks a message.
    pub(super) fn set(&mut self, index: usize) {
        if index >= self.messages {
            return;
        }
        if self.words.is_empty() {
            self.words = vec![0; self.messages.div_ceil(64)];
        }
        if let Some(word) = self.words.get_mut(index / 64) {
            let bit = 1 << (index % 64);
            self.count = self.count.saturating_add(usize::from(*word & bit == 0));
            *word |= bit;
        }
    }

    /// Whether a message is marked.
    pub(super) fn has(&self, index: usize) -> bool {
        let word = self.words.get(index / 64).copied().unwrap_or(0);
        word >> (index % 64) & 1 == 1
    }

    /// How many are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Takes all marks away.
    pub(super) fn clear(&mut self) {
        self.words = Vec::new();
        self.count = 0;
    }

    /// The marked ones, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.words.iter().enumerate().flat_map(|(at, &word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.checked_sub(1)?;
                Some(at.saturating_mul(64).saturating_add(bit as usize))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_set_counted_and_taken_away() {
        let mut marks = Marks::new(130);
        for index in [129, 0, 63, 64, 0, 130, 1_000_000] {
            marks.set(index);
        }
        assert_eq!(marks.iter().collect::<Vec<_>>(), [0, 63, 64, 129]);
        assert_eq!(marks.count(), 4);
        assert!(marks.has(63) && !marks.has(62) && !marks.has(130));
        marks.clear();
        assert_eq!((marks.count(), marks.iter().next()), (0, None));
    }
}
