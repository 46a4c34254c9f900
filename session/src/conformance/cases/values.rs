//! 6.7: records of every size, of any bytes, and many of them.

use super::{Bench, key};
use crate::{
    id::PublicId,
    store::{Replaced, Write},
};

/// Bytes without a pattern that a store could lean on, the same for the same seed.
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
        let answer = bench
            .store
            .replace(key, written.version, write.clone(), bench.now);
        assert!(
            matches!(answer.await.expect("replace"), Replaced::Replaced(_)),
            "replace by {len} bytes"
        );
        let loaded = bench.load(key).await.expect("load after replace");
        assert!(loaded.data == second, "a replaced record of {len} bytes");

        let stale = bench.store.replace(key, written.version, write, bench.now);
        let Replaced::Conflict(current) = stale.await.expect("replace") else {
            panic!("a stale replace by {len} bytes was no conflict");
        };
        assert!(current.data == second, "a conflict of {len} bytes");

        let to = PublicId::from_bytes(noise(3, 32).try_into().expect("32 bytes"));
        let moved = Write::new(first.clone(), bench.end());
        let renamed = bench
            .store
            .rename(key, current.version, to, moved, None, bench.now);
        renamed.await.expect("rename");
        let loaded = bench.load(to).await.expect("load after rename");
        assert!(loaded.data == first, "a renamed record of {len} bytes");
        bench.store.delete(to, bench.now).await.expect("delete");
    }
}

pub(super) async fn arbitrary_bytes(bench: Bench) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let all_alike = |byte: u8| vec![byte; 300];
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
        all_alike(0),
        all_alike(0xff),
        all_alike(b'\''),
        all_alike(b'\\'),
        vec![0xc3, 0x28],
    ];
    records.extend(texts.iter().map(|text| text.as_bytes().to_vec()));
    records.extend((0..50).map(|seed| noise(seed, 97)));
    for record in records {
        let write = Write::new(record.clone(), bench.end());
        let (key, written) = bench.create_with(write).await;
        let loaded = bench.load(key).await;
        assert_eq!(loaded, Some(written), "a record of the bytes {record:02x?}");
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
            "the record under a key that others resemble"
        );
    }
}

pub(super) async fn large_batch(bench: Bench) {
    let mut written = Vec::new();
    for seed in 0..1000 {
        let len = usize::try_from(seed * 7 % 2000).expect("at most 2000");
        let write = Write::new(noise(seed, len), bench.end());
        written.push(bench.create_with(write).await);
    }
    for (place, (key, stored)) in written.iter().enumerate() {
        if place % 3 == 0 {
            assert!(bench.store.delete(*key, bench.now).await.expect("delete"));
        } else {
            assert_eq!(bench.load(*key).await.as_ref(), Some(stored), "a record");
        }
    }
    for (place, (key, stored)) in written.into_iter().enumerate() {
        let expected = (place % 3 != 0).then_some(stored);
        assert_eq!(bench.load(key).await, expected, "a record of many");
    }
}
