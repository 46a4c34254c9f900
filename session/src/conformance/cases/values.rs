//! 6.7: records of all sizes and contents, and large numbers of records.

use super::{Bench, HOUR, key};
use crate::{
    id::PublicId,
    store::{Rename, Replaced, Write},
};

/// Returns pseudorandom bytes, the same for the same seed.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

pub(super) async fn sizes_up_to_a_mebibyte(bench: Bench) {
    for len in [1, 2, 255, 256, 4095, 65_535, 65_536, 1 << 20] {
        let (first, second) = (noise(1, len), noise(2, len));
        let (key, written) = bench
            .create_with(Write::new(first.clone(), bench.end()))
            .await;
        let loaded = bench.load(key).await.expect("load after create");
        assert!(loaded.data == first, "a created record of {len} bytes");

        let write = Write::new(second.clone(), bench.end());
        let replaced = bench
            .store
            .replace(key, written.version, write.clone(), bench.now);
        assert!(
            matches!(replaced.await.expect("replace"), Replaced::Replaced(_)),
            "replace by {len} bytes"
        );
        let loaded = bench.load(key).await.expect("load after replace");
        assert!(loaded.data == second, "a replaced record of {len} bytes");

        let stale = bench.store.replace(key, written.version, write, bench.now);
        let Replaced::Conflict(current) = stale.await.expect("replace") else {
            panic!("a stale replace by {len} bytes was not a conflict");
        };
        assert!(current.data == second, "a conflict of {len} bytes");

        let to = PublicId::from_bytes(noise(3, 32).try_into().expect("32 bytes"));
        let moved = Write::new(first.clone(), bench.end());
        let leave = Write::new(second.clone(), bench.end());
        let rename = Rename::new(key, current.version, to, moved, leave);
        let renamed = bench.store.rename(rename, bench.now).await;
        renamed.expect("rename");
        let loaded = bench.load(to).await.expect("load after rename");
        assert!(loaded.data == first, "a renamed record of {len} bytes");
        let loaded = bench.load(key).await.expect("load after rename");
        assert!(
            loaded.data == second,
            "a record of {len} bytes that was left"
        );
        bench.store.clear().await.expect("clear");
    }
}

pub(super) async fn arbitrary_bytes(bench: Bench) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let repeated = |byte: u8| vec![byte; 300];
    let texts = [
        "', \" \\ %s $1 ? -- /* */ ; \r\n\t",
        "\u{0}",
        "null",
        "NULL",
        "1e400",
        "\u{feff}é\u{1f512}",
    ];
    let mut records = vec![
        every_byte,
        repeated(0),
        repeated(0xff),
        repeated(b'\''),
        repeated(b'\\'),
        vec![0xc3, 0x28],
    ];
    records.extend(texts.iter().map(|text| text.as_bytes().to_vec()));
    records.extend((0..50).map(|seed| noise(seed, 97)));
    for record in records {
        let write = Write::new(record.clone(), bench.end());
        let (key, written) = bench.create_with(write).await;
        let loaded = bench.load(key).await;
        assert_eq!(
            loaded,
            Some(written),
            "a record with the bytes {record:02x?}"
        );
    }
}

pub(super) async fn keys_that_differ_in_one_bit(bench: Bench) {
    let base = *key().as_bytes();
    let flipped = |bit: usize| {
        let mut bytes = base;
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    };
    let keys = (0..256)
        .map(flipped)
        .chain([base, [0; 32], [0xff; 32], [b'%'; 32], [b' '; 32]])
        .map(PublicId::from_bytes);
    let keys: Vec<_> = keys.collect();
    for key in &keys {
        let write = Write::new(key.as_bytes().to_vec(), bench.end());
        let created = bench.store.create(*key, write, bench.now).await;
        created.expect("create");
    }
    for key in keys {
        let loaded = bench.load(key).await.map(|stored| stored.data);
        assert_eq!(
            loaded.as_deref(),
            Some(&key.as_bytes()[..]),
            "the record under a key that differs from others in one bit"
        );
    }
}

pub(super) async fn large_batch(bench: Bench) {
    let earlier = bench.earlier();
    let has_expired = |place: u64| place.is_multiple_of(3);
    let mut written = Vec::new();
    for place in 0..1000 {
        let len = usize::try_from(place * 7 % 2000).expect("the length is below 2000");
        let end = if has_expired(place) {
            bench.now.saturating_sub(HOUR)
        } else {
            bench.end()
        };
        let write = Write::new(noise(place, len), end);
        let record = bench.create_at(earlier, write).await;
        written.push((place, record));
    }
    for (_, (key, stored)) in &written {
        let loaded = bench.load_at(*key, earlier).await;
        assert_eq!(loaded.as_ref(), Some(stored), "a record");
    }
    let swept = bench.store.delete_expired(10_000, bench.now).await;
    let expired = if bench.expires_by_itself { 0 } else { 334 };
    assert_eq!(swept.expect("delete_expired"), expired, "the records swept");
    for (place, (key, stored)) in written {
        let expected = (!has_expired(place)).then_some(stored);
        let loaded = bench.load(key).await;
        assert_eq!(loaded, expected, "a record after the sweep");
    }
}
