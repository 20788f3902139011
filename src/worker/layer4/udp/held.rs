//! The datagrams of a session that its server has not answered yet. If the server refuses them, they go to another one, as a connection is
//! tried on the next server.

use crate::limits;

/// Datagrams in the order of their arrival, bounded in number and bytes.
#[derive(Default)]
pub struct Held {
    bytes: Vec<u8>,
    lengths: Vec<u16>,
}

impl Held {
    /// Keeps a datagram, if there is room for it within `bytes_max`. Returns the bytes that it takes.
    pub fn push(&mut self, datagram: &[u8], bytes_max: usize) -> usize {
        let after = self.bytes.len() + datagram.len();
        let Ok(length) = u16::try_from(datagram.len()) else { return 0 };
        let fits = datagram.len() <= bytes_max && after <= limits::UDP_HELD_BYTES_MAX;
        if !fits || self.lengths.len() >= limits::UDP_HELD_DATAGRAMS_MAX {
            return 0;
        }
        self.bytes.extend_from_slice(datagram);
        self.lengths.push(length);
        datagram.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..];
        self.lengths.iter().map_while(move |&length| {
            let (datagram, after) = rest.split_at_checked(usize::from(length))?;
            rest = after;
            Some(datagram)
        })
    }

    /// Forgets the datagrams, and frees their memory. Returns the bytes that they took.
    pub fn clear(&mut self) -> usize {
        let freed = self.bytes.len();
        *self = Held::default();
        freed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_datagrams_are_kept_in_order() {
        let mut held = Held::default();
        let datagrams: Vec<Vec<u8>> = (0..9_u8).map(|n| vec![n; usize::from(n)]).collect();
        let taken: usize = datagrams.iter().map(|datagram| held.push(datagram, usize::MAX)).sum();
        assert_eq!(held.iter().collect::<Vec<_>>(), datagrams[..8]);
        assert_eq!((taken, held.clear(), held.is_empty()), (28, 28, true));
    }

    #[test]
    fn datagram_above_a_bound_is_left_out() {
        let mut held = Held::default();
        assert_eq!(held.push(&[0; 100], 99), 0, "the worker's bound");
        let half = vec![0; limits::UDP_HELD_BYTES_MAX / 2];
        assert_eq!([half.len(); 2], [(); 2].map(|()| held.push(&half, usize::MAX)));
        assert_eq!(held.push(&[1], usize::MAX), 0, "the session's bound");
        assert_eq!(held.push(&[], usize::MAX), 0);
        assert_eq!(held.iter().count(), 3, "an empty datagram takes no bytes");
    }
}
