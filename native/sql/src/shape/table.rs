//! From 128-bit keys to small ids, shared by all threads, bounded.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, RwLock};

/// Ids run from 1 to this. When they are used up, texts not seen before have no shape.
const MAX_IDS: u32 = 1 << 20;
const SHARDS: usize = 16;
/// Entries in front of the shared table, per thread: a hit costs no lock.
const RECENT: usize = 2048;

/// Keys are uniformly random: their low bits are their hash.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

type Shard = RwLock<HashMap<u128, u32, BuildHasherDefault<Identity>>>;

static TABLE: LazyLock<Vec<Shard>> = LazyLock::new(|| (0..SHARDS).map(|_| Shard::default()).collect());
static USED: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static RECENTLY: RefCell<Vec<(u128, u32)>> = RefCell::new(vec![(0, 0); RECENT]);
}

/// The id of a key; the next free one for a new key, 0 when there is none.
pub fn id(key: u128) -> u32 {
    RECENTLY.with(|recent| {
        let Ok(mut recent) = recent.try_borrow_mut() else {
            return shared(key);
        };
        let Some(slot) = recent.get_mut((key >> 64) as usize % RECENT) else {
            return 0;
        };
        if slot.0 != key || slot.1 == 0 {
            *slot = (key, shared(key));
        }
        slot.1
    })
}

fn shared(key: u128) -> u32 {
    let Some(shard) = TABLE.get((key >> 96) as usize % SHARDS) else {
        return 0;
    };
    if let Ok(ids) = shard.read()
        && let Some(id) = ids.get(&key)
    {
        return *id;
    }
    let Ok(mut ids) = shard.write() else { return 0 };
    if let Some(id) = ids.get(&key) {
        return *id;
    }
    let Ok(before) = USED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| (used < MAX_IDS).then_some(used + 1)) else {
        return 0;
    };
    ids.insert(key, before + 1);
    before + 1
}
