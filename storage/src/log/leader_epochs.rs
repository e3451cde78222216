//! Which leader epoch began at which offset (`leader-epoch-checkpoint`, KIP-101). Pure; knows
//! nothing of files but their text.

use protocol::ids::{LeaderEpoch, Offset};

/// "No epoch", "no offset".
pub const UNDEFINED: i32 = -1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEntry {
    pub epoch: LeaderEpoch,
    pub start_offset: Offset,
}

/// Ascending in both fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaderEpochs {
    entries: Vec<EpochEntry>,
}

impl LeaderEpochs {
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    /// Enters that `epoch` begins at `start_offset`; entries that contradict it go. `true` if
    /// anything changed.
    pub fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) -> bool {
        if epoch < 0 || start_offset < 0 {
            return false;
        }
        if let Some(last) = self.entries.last()
            && last.epoch == epoch
            && start_offset >= last.start_offset
        {
            return false;
        }
        self.entries.retain(|e| e.epoch < epoch && e.start_offset < start_offset);
        self.entries.push(EpochEntry { epoch, start_offset });
        self.check();
        true
    }

    fn check(&self) {
        let rises = |pair: &[EpochEntry]| {
            pair[0].epoch < pair[1].epoch && pair[0].start_offset < pair[1].start_offset
        };
        debug_assert!(
            self.entries.windows(2).all(rises),
            "leader epochs and their starts do not rise: {:?}",
            self.entries
        );
    }

    /// The largest epoch at or below `epoch`, and where it ended: the start of the next known
    /// one, or `log_end`. (−1, −1) if `epoch` is above all that are known.
    pub fn end_offset_for(&self, epoch: LeaderEpoch, log_end: Offset) -> (LeaderEpoch, Offset) {
        let Some(latest) = self.entries.last() else { return (UNDEFINED, -1) };
        if epoch == latest.epoch {
            return (epoch, log_end);
        }
        let higher = self.entries.iter().position(|e| e.epoch > epoch);
        match higher {
            _ if epoch == UNDEFINED => (UNDEFINED, -1),
            None => (UNDEFINED, -1),
            Some(0) => (epoch, self.entries[0].start_offset),
            Some(i) => (self.entries[i - 1].epoch, self.entries[i].start_offset),
        }
    }

    /// The epoch of the record at `offset`; `None` before the first entry.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.entries.iter().rev().find(|e| e.start_offset <= offset).map(|e| e.epoch)
    }

    /// Drops what begins at or behind `end_offset`.
    pub fn truncate_from_end(&mut self, end_offset: Offset) -> bool {
        let before = self.entries.len();
        self.entries.retain(|e| e.start_offset < end_offset);
        self.entries.len() != before
    }

    /// Drops what ended before `start_offset`; the epoch that goes on there begins there now.
    pub fn truncate_from_start(&mut self, start_offset: Offset) -> bool {
        let below = self.entries.iter().take_while(|e| e.start_offset <= start_offset).count();
        if below == 0 || (below == 1 && self.entries[0].start_offset == start_offset) {
            return false;
        }
        self.entries.drain(..below - 1);
        self.entries[0].start_offset = start_offset;
        self.check();
        true
    }

    pub fn clear(&mut self) -> bool {
        let had = !self.entries.is_empty();
        self.entries.clear();
        had
    }

    /// `0\n<count>\n` and one `epoch offset` line each.
    pub fn to_text(&self) -> String {
        let mut text = format!("0\n{}\n", self.entries.len());
        for entry in &self.entries {
            text.push_str(&format!("{} {}\n", entry.epoch, entry.start_offset));
        }
        text
    }

    /// `None` if the text is anything else. An empty text is an empty list: Apache leaves such a
    /// file after a kill.
    pub fn parse(text: &str) -> Option<LeaderEpochs> {
        let mut epochs = LeaderEpochs::default();
        if text.is_empty() {
            return Some(epochs);
        }
        let mut lines = text.strip_suffix('\n')?.lines();
        if lines.next()? != "0" {
            return None;
        }
        let count: usize = lines.next()?.parse().ok()?;
        for line in lines.by_ref().take(count) {
            let (epoch, offset) = line.split_once(' ')?;
            epochs.assign(epoch.parse().ok()?, offset.parse().ok()?);
        }
        (epochs.entries.len() == count && lines.next().is_none()).then_some(epochs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(pairs: &[(i32, i64)]) -> LeaderEpochs {
        let mut epochs = LeaderEpochs::default();
        for (epoch, offset) in pairs {
            epochs.assign(*epoch, *offset);
        }
        epochs
    }

    #[test]
    fn end_offsets() {
        let epochs = cache(&[(2, 10), (4, 20), (7, 30)]);
        for (asked, answer) in [
            (-1, (-1, -1)),
            (0, (0, 10)),
            (2, (2, 20)),
            (3, (2, 20)),
            (4, (4, 30)),
            (6, (4, 30)),
            (7, (7, 42)),
            (8, (-1, -1)),
        ] {
            assert_eq!(epochs.end_offset_for(asked, 42), answer, "epoch {asked}");
        }
        assert_eq!(cache(&[]).end_offset_for(0, 42), (-1, -1));
        assert_eq!(epochs.epoch_at(19), Some(2));
        assert_eq!(epochs.epoch_at(9), None);
    }

    #[test]
    fn assigning_removes_contradictions() {
        assert_eq!(cache(&[(1, 0), (2, 5), (3, 9), (2, 7)]), cache(&[(1, 0), (2, 7)]));
        assert_eq!(cache(&[(1, 0), (2, 5), (3, 5)]), cache(&[(1, 0), (3, 5)]));
        assert_eq!(cache(&[(1, 0), (1, 5)]), cache(&[(1, 0)]));
    }

    #[test]
    fn truncations() {
        let mut epochs = cache(&[(2, 10), (4, 20), (7, 30)]);
        assert!(epochs.truncate_from_end(30));
        assert!(!epochs.truncate_from_end(30));
        assert_eq!(epochs, cache(&[(2, 10), (4, 20)]));
        assert!(!epochs.truncate_from_start(5));
        assert!(epochs.truncate_from_start(15));
        assert_eq!(epochs, cache(&[(2, 15), (4, 20)]));
        assert!(epochs.truncate_from_start(20));
        assert_eq!(epochs, cache(&[(4, 20)]));
        assert!(!epochs.truncate_from_start(20));
    }

    #[cfg(debug_assertions)]
    #[test]
    #[should_panic(expected = "leader epochs and their starts do not rise")]
    fn epochs_that_fall() {
        let mut epochs = cache(&[(2, 10), (4, 20), (7, 30)]);
        epochs.entries.swap(0, 1);
        epochs.assign(8, 40);
    }

    #[test]
    fn text_is_kafkas() {
        let text = "0\n2\n0 0\n1 9\n";
        assert_eq!(LeaderEpochs::parse(text).unwrap().to_text(), text);
        assert_eq!(LeaderEpochs::default().to_text(), "0\n0\n");
        for bad in [
            "1\n0\n",
            "0\n2\n0 0\n",
            "0\n1\n0 x\n",
            "0\n1\n0 0\n1 1\n",
            "0\n1\n0 1",
            "0\n2\n1 5\n0 6\n",
        ] {
            assert_eq!(LeaderEpochs::parse(bad), None, "{bad:?}");
        }
    }
}
