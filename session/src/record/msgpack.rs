//! Reading MessagePack without decoding its values.

use rmp::Marker;

/// One entry of a map whose keys are strings.
pub(crate) struct Entry<'a> {
    /// The bytes of the key. [`Record::parse`](super::RecordKind::parse) has checked that they are UTF-8.
    pub(crate) key: &'a [u8],
    /// The value, encoded.
    pub(crate) value: &'a [u8],
    /// Key and value, encoded.
    pub(super) raw: &'a [u8],
}

/// For each marker, the length of the values that begin with it, the marker included. Zero if they differ in length.
static FIXED_LEN: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[allow(clippy::cast_possible_truncation, reason = "below 256")]
        let marker = Marker::from_u8(byte as u8);
        table[byte] = match marker {
            Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => {
                1
            }
            Marker::U8 | Marker::I8 => 2,
            Marker::U16 | Marker::I16 | Marker::FixExt1 => 3,
            Marker::FixExt2 => 4,
            Marker::U32 | Marker::I32 | Marker::F32 => 5,
            Marker::FixExt4 => 6,
            Marker::U64 | Marker::I64 | Marker::F64 => 9,
            Marker::FixExt8 => 10,
            Marker::FixExt16 => 18,
            Marker::FixStr(len) => 1 + len,
            _ => 0,
        };
        byte += 1;
    }
    table
};

impl<'a> Entry<'a> {
    /// The entry of these bytes.
    pub(super) fn of(raw: &'a [u8]) -> Option<Self> {
        let mut input = Input(raw);
        let key = input.text()?;
        let value = input.0;
        Some(Self { key, value, raw })
    }
}

/// Reads from the front of a slice. Each method returns `None` if the slice ends too early or holds
/// something else than what was asked for.
#[derive(Clone)]
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// How many bytes are left.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn marker(&mut self) -> Option<Marker> {
        self.take(1).map(|byte| Marker::from_u8(byte[0]))
    }

    /// A big-endian number of `width` bytes.
    fn length(&mut self, width: usize) -> Option<usize> {
        let bytes = self.take(width)?;
        bytes.iter().try_fold(0usize, |n, byte| {
            n.checked_mul(256)?.checked_add(usize::from(*byte))
        })
    }

    /// The header of a map: the number of its entries.
    pub(super) fn map_header(&mut self) -> Option<usize> {
        match self.marker()? {
            Marker::FixMap(len) => Some(len.into()),
            Marker::Map16 => self.length(2),
            Marker::Map32 => self.length(4),
            _ => None,
        }
    }

    /// The bytes of a string.
    fn text(&mut self) -> Option<&'a [u8]> {
        // Most keys are short.
        if let [marker @ 0xa0..=0xbf, rest @ ..] = self.0 {
            self.0 = rest;
            return self.take(usize::from(marker & 0x1f));
        }
        let len = match self.marker()? {
            Marker::FixStr(len) => len.into(),
            Marker::Str8 => self.length(1)?,
            Marker::Str16 => self.length(2)?,
            Marker::Str32 => self.length(4)?,
            _ => return None,
        };
        self.take(len)
    }

    pub(super) fn entry(&mut self) -> Option<Entry<'a>> {
        let before = self.0;
        let key = self.text()?;
        let value_start = self.0;
        self.skip()?;
        Some(Entry {
            key,
            value: &value_start[..value_start.len() - self.0.len()],
            raw: &before[..before.len() - self.0.len()],
        })
    }

    /// Skips one value of any kind. Not recursive, so that deep nesting does not use up the stack.
    fn skip(&mut self) -> Option<()> {
        let mut pending: usize = 1;
        while pending > 0 {
            let inside = match FIXED_LEN[usize::from(*self.0.first()?)] {
                0 => self.begin_value()?,
                len => {
                    self.0 = self.0.get(usize::from(len)..)?;
                    0
                }
            };
            pending = (pending - 1).checked_add(inside)?;
        }
        Some(())
    }

    /// Skips one scalar value, or the header of a list or map. Returns the number of values inside.
    fn begin_value(&mut self) -> Option<usize> {
        let fixed = FIXED_LEN[usize::from(*self.0.first()?)];
        if fixed > 0 {
            self.take(fixed.into())?;
            return Some(0);
        }
        let (bytes, values) = match self.marker()? {
            Marker::Str8 | Marker::Bin8 => (self.length(1)?, 0),
            Marker::Str16 | Marker::Bin16 => (self.length(2)?, 0),
            Marker::Str32 | Marker::Bin32 => (self.length(4)?, 0),
            Marker::Ext8 => (self.length(1)?.checked_add(1)?, 0),
            Marker::Ext16 => (self.length(2)?.checked_add(1)?, 0),
            Marker::Ext32 => (self.length(4)?.checked_add(1)?, 0),
            Marker::FixArray(len) => (0, len.into()),
            Marker::Array16 => (0, self.length(2)?),
            Marker::Array32 => (0, self.length(4)?),
            Marker::FixMap(len) => (0, usize::from(len) * 2),
            Marker::Map16 => (0, self.length(2)? * 2),
            Marker::Map32 => (0, self.length(4)?.checked_mul(2)?),
            // The reserved marker. All others have a fixed length.
            _ => return None,
        };
        self.take(bytes)?;
        Some(values)
    }
}

/// Whether lists and maps in an encoded value are nested more than `limit` deep.
pub(crate) fn nests_deeper_than(limit: usize, encoded: &[u8]) -> bool {
    // Each level takes a byte at least, so most values need no closer look.
    if encoded.len() <= limit {
        return false;
    }
    let mut input = Input(encoded);
    // The number of values that are still to come, for each open list or map.
    let mut open = vec![1];
    while let Some(left) = open.last_mut() {
        if *left == 0 {
            open.pop();
            continue;
        }
        *left -= 1;
        match input.begin_value() {
            Some(0) => {}
            Some(_) if open.len() > limit => return true,
            Some(values) => open.push(values),
            // Malformed: the decoder reports it.
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_in_lists_and_maps() {
        // Each level is a list of one, with an empty string in the innermost.
        let lists = |depth| [vec![0x91; depth], vec![0xa0]].concat();
        assert!(!nests_deeper_than(128, &lists(128)));
        assert!(nests_deeper_than(128, &lists(129)));
        // A map in each map, beside a long text.
        let map = |depth| [b"\x82\xa0\xa2xx\xa0".repeat(depth), vec![0xc0]].concat();
        assert!(!nests_deeper_than(128, &map(128)));
        assert!(nests_deeper_than(128, &map(129)));
        // Wide is not deep.
        let wide = rmp_serde::to_vec_named(&vec![vec![vec![1]; 100]; 100]).unwrap();
        assert!(nests_deeper_than(2, &wide) && !nests_deeper_than(3, &wide));
        assert!(!nests_deeper_than(
            128,
            &rmp_serde::to_vec_named(&"x".repeat(1000)).unwrap()
        ));
    }
}
