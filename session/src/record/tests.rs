use std::time::Duration;

use super::*;

const A: Field = Field::new("ns.a");
const B: Field = Field::new("ns.b");
const RENAMED: Field = Field::new("ns.new").with_aliases(&["ns.a"]);

fn packed<T: serde::Serialize>(value: &T) -> Bytes {
    rmp_serde::to_vec_named(value).unwrap().into()
}

fn record(entries: &[(Field, Bytes)]) -> Record {
    Record::empty().with(entries.iter().map(|(field, value)| (*field, Some(value))))
}

fn parse(bytes: &Bytes) -> Record {
    match RecordKind::parse(bytes.clone()) {
        Ok(RecordKind::Live(record)) => record,
        other => panic!("not a live record: {other:?}"),
    }
}

#[test]
fn values_of_every_kind_are_skipped() {
    let nested = one_of_each_kind();
    let record = record(&[(A, nested.clone()), (B, packed(&7))]);
    let again = parse(record.bytes());
    assert_eq!(again.get(A).unwrap(), nested);
    assert_eq!(again.get(B).unwrap(), packed(&7));
}

fn one_of_each_kind() -> Bytes {
    packed(&(
        (
            1u8,
            300u16,
            70_000u32,
            u64::MAX,
            -1i8,
            -300i16,
            -70_000i32,
            i64::MIN,
        ),
        (
            1.5f32,
            2.5f64,
            true,
            (),
            "x".repeat(40),
            "y".repeat(300),
            "z".repeat(70_000),
        ),
        (
            vec![0u8; 20],
            vec![vec![1, 2]; 20],
            std::collections::BTreeMap::from([("k", 1)]),
        ),
    ))
}

#[test]
fn changes_replace_remove_and_keep() {
    let base = record(&[(A, packed(&1)), (B, packed(&2)), (CREATED, packed(&5u64))]);
    let two = packed(&"two");
    let next = parse(base.with([(B, Some(&two)), (A, None)]).bytes());
    assert!(next.get(A).is_none());
    assert_eq!(next.get(B).unwrap(), two);
    assert_eq!(next.term().created_at, Timestamp::from_millis(5));
}

#[test]
fn an_alias_is_read_and_a_write_removes_it() {
    let base = record(&[(A, packed(&1))]);
    assert_eq!(base.get(RENAMED).unwrap(), packed(&1));
    let two = packed(&2);
    let next = base.with([(RENAMED, Some(&two))]);
    assert_eq!(next.get(RENAMED).unwrap(), two);
    assert!(next.get(A).is_none());
}

#[test]
fn a_record_can_have_more_than_fifteen_keys() {
    let fields: Vec<(Field, Bytes)> = (0..100)
        .map(|n| {
            let name = Box::leak(format!("ns.{n}").into_boxed_str());
            (Field::new(name), packed(&n))
        })
        .collect();
    let record = parse(record(&fields).bytes());
    assert_eq!((record.len(), record.data().count()), (100, 100));
    assert_eq!(record.get(fields[99].0).unwrap(), packed(&99));
}

#[test]
fn a_key_can_have_any_length() {
    for len in [1, 31, 32, 255, 256, 65_535, 65_536] {
        let field = Field::new(Box::leak("k".repeat(len).into_boxed_str()));
        let record = parse(record(&[(field, packed(&7))]).bytes());
        assert_eq!(record.get(field).unwrap(), packed(&7), "{len}");
    }
}

/// An encoder of another language need not choose the shortest form.
#[test]
fn long_forms_are_read_as_short_ones_are() {
    let values: [&[u8]; 6] = [
        b"\xc7\x02\x05xy",
        b"\xc8\x00\x02\x05xy",
        b"\xc9\x00\x00\x00\x02\x05xy",
        b"\xde\x00\x01\xa1k\x01",
        b"\xdf\x00\x00\x00\x02\xa1k\x01\xa1l\x02",
        b"\xdd\x00\x00\x00\x02\x01\x02",
    ];
    let keys: [&[u8]; 3] = [
        b"\xd9\x04ns.b",
        b"\xda\x00\x04ns.b",
        b"\xdb\x00\x00\x00\x04ns.b",
    ];
    let headers: [&[u8]; 3] = [b"\x82", b"\xde\x00\x02", b"\xdf\x00\x00\x00\x02"];
    for header in headers {
        for key in keys {
            for value in values {
                let bytes = [header, key, value, b"\xa4ns.a\x07"].concat();
                let record = parse(&bytes.into());
                assert_eq!((record.len(), record.data().count()), (2, 2));
                assert_eq!(record.get(B).unwrap(), value);
                assert_eq!(record.get(A).unwrap(), &b"\x07"[..]);
            }
        }
    }
}

#[test]
fn hostile_bytes_are_malformed() {
    let good = record(&[(A, one_of_each_kind())]);
    for len in 0..good.bytes().len().min(300) {
        let cut = good.bytes().slice(..len);
        assert!(RecordKind::parse(cut).is_err(), "cut at {len}");
    }
    let mut deep = vec![0x81, 0xa1, b'a'];
    deep.extend(std::iter::repeat_n(0x91, 100_000));
    for bytes in [
        vec![],
        vec![0x80, 0x00],
        vec![0x90],
        vec![0xc1],
        vec![0x81, 0x01, 0x01],
        vec![0x81, 0xa1, 0xff, 0x01],
        vec![0xdf, 0xff, 0xff, 0xff, 0xff],
        vec![0x81, 0xa1, b'a', 0xdd, 0xff, 0xff, 0xff, 0xff],
        vec![0x81, 0xa1, b'a', 0xc6, 0xff, 0xff, 0xff, 0xff, 0x00],
        b"\x81\xa6$moved\x01".to_vec(),
        deep,
    ] {
        let start = &bytes[..bytes.len().min(12)].to_vec();
        assert!(RecordKind::parse(bytes.into()).is_err(), "{start:?}");
    }
}

#[test]
fn tombstones_and_forwards_are_told_from_sessions() {
    for reason in [EndReason::Destroyed, EndReason::Replaced] {
        for moved_to in [None, Some(PublicId::from_bytes([9; 32]))] {
            let tombstone = Tombstone {
                reason,
                moved_to,
                until: Timestamp::from_millis(9),
            };
            let parsed = RecordKind::parse(tombstone.record()).unwrap();
            assert!(matches!(parsed, RecordKind::Ended(parsed) if parsed == tombstone));
        }
    }
    let (old, new) = (SessionId::random(), SessionId::random());
    let (key, moment) = (new.public(), Timestamp::from_millis(9));
    match RecordKind::parse(Forward::new(&old, &new, key, moment).record()) {
        Ok(RecordKind::Forward(forward)) => {
            assert_eq!((forward.to, forward.until), (key, moment));
            assert_eq!(forward.id(&old), Some(new));
            assert_eq!(forward.id(&new), None);
        }
        other => panic!("not a forward: {other:?}"),
    }
}

#[test]
fn the_term_is_the_creation_and_the_idle_timeout_of_the_session() {
    let written = record(&[(CREATED, number(5)), (IDLE, number(7))]);
    let term = Term {
        created_at: Timestamp::from_millis(5),
        idle: Some(Duration::from_millis(7)),
        flash_only: false,
    };
    assert_eq!(
        (written.term(), parse(written.bytes()).term()),
        (term, term)
    );
}

#[test]
fn the_rotation_time_is_the_creation_until_the_id_is_rotated() {
    let created = record(&[(CREATED, number(5))]);
    assert_eq!(created.rotated_at(), Timestamp::from_millis(5));
    let rotated = created.with([(ROTATED, Some(&number(8)))]);
    assert_eq!(rotated.rotated_at(), Timestamp::from_millis(8));
    assert_eq!(Record::empty().rotated_at(), Timestamp::from_millis(0));
}

#[test]
fn the_standing_of_a_session_is_stored() {
    let one = packed(&1);
    for (standing, size) in [
        (Standing::FlashOnly, CLASS_SIZE),
        (Standing::Anonymous, 0),
        (Standing::Established, CLASS_SIZE),
    ] {
        let plain = Record::empty().with([(A, Some(&one))]);
        let record = plain.with([(CLASS, standing.encoded())]);
        assert_eq!(record.standing(), standing);
        assert_eq!(parse(record.bytes()).standing(), standing);
        assert_eq!(record.bytes().len() - plain.bytes().len(), size);
        let is_flash_only = standing == Standing::FlashOnly;
        assert_eq!(record.term().flash_only, is_flash_only);
    }
    // A later version may know other classes.
    let unknown = packed(&77);
    let record = Record::empty().with([(CLASS, Some(&unknown))]);
    assert_eq!(parse(record.bytes()).standing(), Standing::Anonymous);
}

#[test]
fn the_buffer_of_a_record_is_not_much_larger_than_its_content() {
    let (large, small) = (packed(&"x".repeat(10_000)), packed(&"x"));
    let record = record(&[(A, large.clone()), (B, large)]);
    for next in [
        record.with([(A, None)]).with([(B, None)]),
        record.with([(A, Some(&small)), (B, Some(&small))]),
    ] {
        let bytes = next.bytes().clone();
        drop(next);
        let content = bytes.len();
        let buffer = bytes.try_into_mut().expect("it is not shared");
        assert!(buffer.capacity() < content + 30, "{}", buffer.capacity());
    }
}

#[test]
fn entries_are_found_in_maps_of_every_size() {
    let names: Vec<String> = (0..40).map(|n| format!("ns.key{n}")).collect();
    for count in 0..40 {
        // The values are of different lengths, and the last ones begin after 64 KiB.
        let map: std::collections::BTreeMap<_, _> = names[..count]
            .iter()
            .enumerate()
            .map(|(n, name)| (name, "x".repeat(n * 200)))
            .collect();
        let record = parse(&packed(&map));
        assert_eq!(record.len(), count);
        for (n, name) in names.iter().enumerate() {
            let name: &'static str = name.clone().leak();
            let value = record.get(Field::new(name));
            assert_eq!(
                value,
                map.get(&name.to_owned()).map(packed),
                "{n} of {count}"
            );
        }
        assert_eq!(record.data().count(), count);
        let next = record.with([(A, Some(&packed(&1)))]);
        assert_eq!(next.len(), count + 1);
        assert_eq!(parse(next.bytes()).get(A), next.get(A));
        let last = names[..count].last().map(|name| name.clone().leak());
        if let Some(last) = last {
            assert_eq!(next.get(Field::new(last)), record.get(Field::new(last)));
        }
    }
}
