//! The places of a connection's streams.

use super::stream::Stream;

/// The most streams of one connection at a time.
pub const STREAMS_MAX: usize = 128;

/// A stream of a connection, valid until it is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamKey(u8);

impl StreamKey {
    /// The number of the stream's place, below [`STREAMS_MAX`].
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A set of streams.
#[derive(Debug, Default, Clone, Copy)]
pub struct KeySet(u128);

impl KeySet {
    pub fn insert(&mut self, key: StreamKey) {
        self.0 |= 1 << key.0;
    }

    pub fn remove(&mut self, key: StreamKey) {
        self.0 &= !(1 << key.0);
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Takes out the stream with the lowest number.
    pub fn pop(&mut self) -> Option<StreamKey> {
        let index = self.0.trailing_zeros();
        self.0 &= self.0.wrapping_sub(1);
        u8::try_from(index).ok().filter(|index| usize::from(*index) < STREAMS_MAX).map(StreamKey)
    }
}

impl Iterator for KeySet {
    type Item = StreamKey;

    fn next(&mut self) -> Option<StreamKey> {
        self.pop()
    }
}

/// The places in use and the free ones, whose memory is kept.
#[derive(Debug, Default)]
pub struct Streams {
    places: Vec<Stream>,
    /// The identifiers of the places, to be searched quickly; 0 for a free place.
    ids: Vec<u32>,
    used: KeySet,
}

impl Streams {
    pub fn len(&self) -> usize {
        self.used.len()
    }

    /// The streams in use.
    pub fn keys(&self) -> KeySet {
        self.used
    }

    pub fn find(&self, id: u32) -> Option<StreamKey> {
        let index = self.ids.iter().position(|known| *known == id)?;
        u8::try_from(index).ok().map(StreamKey)
    }

    pub fn get(&self, key: StreamKey) -> Option<&Stream> {
        self.places.get(key.index())
    }

    pub fn get_mut(&mut self, key: StreamKey) -> Option<&mut Stream> {
        self.places.get_mut(key.index())
    }

    /// Takes a free place; `None` if all are in use.
    pub fn insert(&mut self, id: u32) -> Option<StreamKey> {
        let index = self.used.0.trailing_ones();
        let key = u8::try_from(index).ok().filter(|index| usize::from(*index) < STREAMS_MAX).map(StreamKey)?;
        if key.index() == self.places.len() {
            self.places.push(Stream::default());
            self.ids.push(0);
        }
        *self.ids.get_mut(key.index())? = id;
        self.used.insert(key);
        Some(key)
    }

    /// Gives a stream its identifier.
    pub fn set_id(&mut self, key: StreamKey, id: u32) {
        if let Some(place) = self.ids.get_mut(key.index()) {
            *place = id;
        }
    }

    pub fn remove(&mut self, key: StreamKey) {
        if let Some(id) = self.ids.get_mut(key.index()) {
            *id = 0;
        }
        self.used.remove(key);
    }

    /// Frees the memory of the free places, if no place is in use.
    pub fn trim(&mut self) {
        if self.used.is_empty() {
            *self = Streams::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_reused_from_the_lowest() {
        let mut streams = Streams::default();
        let keys: Vec<_> = (0..STREAMS_MAX as u32).filter_map(|n| streams.insert(2 * n + 1)).collect();
        assert_eq!((keys.len(), streams.len()), (STREAMS_MAX, STREAMS_MAX));
        assert_eq!(streams.insert(999), None);
        streams.remove(keys[5]);
        assert_eq!(streams.find(11), None);
        assert_eq!(streams.insert(999), Some(keys[5]));
        assert_eq!(streams.find(999), Some(keys[5]));
        assert_eq!(streams.keys().count(), STREAMS_MAX);
        keys.iter().for_each(|key| streams.remove(*key));
        streams.trim();
        assert_eq!((streams.len(), streams.places.len()), (0, 0));
    }
}
