//! Keys of an object that is read strictly: no two may be equal.

/// Maximum number of members whose keys are compared pair by pair; more are sorted, which costs more for few.
const FEW: usize = 12;
/// Characters of a key that an error shows.
const SHOWN: usize = 100;

/// A key: where it is in what is written (which is the same for keys that mean the same), and where it was read.
pub(super) struct Key {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) at: usize,
}

/// The first key that is among the keys before it.
pub(super) fn twice<'a>(keys: &'a mut [Key], out: &[u8]) -> Option<&'a Key> {
    let text = |key: &Key| &out[key.from..key.to];
    if keys.len() <= FEW {
        let same = |(i, key): &(usize, &Key)| keys[..*i].iter().any(|earlier| text(earlier) == text(key));
        return keys.iter().enumerate().find(same).map(|(_, key)| key);
    }
    keys.sort_unstable_by(|a, b| text(a).cmp(text(b)).then(a.at.cmp(&b.at)));
    keys.windows(2).filter(|pair| text(&pair[0]) == text(&pair[1])).map(|pair| &pair[1]).min_by_key(|key| key.at)
}

/// The beginning of a key with its quotes, for an error.
pub(super) fn shown(key: &[u8]) -> String {
    let key = String::from_utf8_lossy(key);
    key.chars().take(SHOWN).collect()
}
