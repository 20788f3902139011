//! Interleaved weighted round robin, shared by all workers through one atomic number (docs/reference/backends.md#balancing).

use std::sync::atomic::{AtomicU64, Ordering};

/// The position of a rotation: the last index and the current weight. The current weight begins at the largest weight and falls by the
/// greatest common divisor with each pass over the servers. In a pass, each server of at least the current weight gets a turn.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    /// In the upper half the index of the last server plus one, so that 0 is the beginning; in the lower half the current weight.
    position: AtomicU64,
}

/// The largest weight and the greatest common divisor of the weights that take part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Scale {
    max: u32,
    gcd: u32,
}

impl Scale {
    pub fn of(weights: impl Iterator<Item = u32>) -> Self {
        weights
            .fold(Scale::default(), |scale, weight| Scale { max: scale.max.max(weight), gcd: gcd(scale.gcd, weight) })
    }
}

impl Rotation {
    /// The next index below `len` in a rotation by `weight`. An index of weight 0 is never returned. `None` if all weights are 0.
    pub fn next(&self, len: usize, scale: Scale, weight: impl Fn(usize) -> u32) -> Option<usize> {
        if scale.max == 0 || len == 0 {
            return None;
        }
        let mut seen = self.position.load(Ordering::Relaxed);
        loop {
            let (index, current) = next_turn(seen, len, scale, &weight);
            let next = ((index as u64 + 1) << 32) | u64::from(current);
            match self.position.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(index),
                // Another worker took this turn: try the next one.
                Err(moved) => seen = moved,
            }
        }
    }
}

impl Rotation {
    /// The index that [`next`](Rotation::next) would return now. The rotation does not move.
    pub fn peek(&self, len: usize, scale: Scale, weight: impl Fn(usize) -> u32) -> Option<usize> {
        if scale.max == 0 || len == 0 {
            return None;
        }
        Some(next_turn(self.position.load(Ordering::Relaxed), len, scale, &weight).0)
    }
}

/// The index and the current weight that follow a position.
fn next_turn(position: u64, len: usize, scale: Scale, weight: &impl Fn(usize) -> u32) -> (usize, u32) {
    // Other servers may have taken part when the position was written: it is brought into the range of these.
    let mut index = (position >> 32) as usize % (len + 1);
    let mut current = (position as u32).min(scale.max);
    loop {
        if index == len {
            index = 0;
        }
        if index == 0 {
            current = if current <= scale.gcd { scale.max } else { current - scale.gcd };
        }
        if weight(index) >= current && current > 0 {
            return (index, current);
        }
        index += 1;
        // A position written for other servers may have a current weight of 0, which the next pass replaces.
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn turns(weights: &[u32], count: usize) -> Vec<usize> {
        let rotation = Rotation::default();
        let scale = Scale::of(weights.iter().copied());
        (0..count).map(|_| rotation.next(weights.len(), scale, |at| weights[at]).unwrap()).collect()
    }

    #[test]
    fn servers_take_turns_by_weight() {
        // The cycle `b b a b` of docs/reference/backends.md#balancing.
        assert_eq!(turns(&[1, 3], 8), [1, 1, 0, 1, 1, 1, 0, 1]);
        assert_eq!(turns(&[1, 1], 4), [0, 1, 0, 1]);
        assert_eq!(turns(&[5, 5, 10], 8), [2, 0, 1, 2, 2, 0, 1, 2]);
    }

    #[test]
    fn no_index_is_returned_if_all_weights_are_zero() {
        assert_eq!(Rotation::default().next(2, Scale::of([0, 0].into_iter()), |_| 0), None);
        assert_eq!(Rotation::default().next(0, Scale::of([].into_iter()), |_| 0), None);
    }

    proptest! {
        #[test]
        fn turns_are_proportional_to_weights(weights in prop::collection::vec(0u32..40, 1..8), rounds in 1usize..4) {
            prop_assume!(weights.iter().any(|&w| w > 0));
            let scale = Scale::of(weights.iter().copied());
            let cycle: u32 = weights.iter().sum::<u32>() / scale.gcd;
            let mut counts = vec![0u32; weights.len()];
            turns(&weights, cycle as usize * rounds).into_iter().for_each(|at| counts[at] += 1);
            for (count, weight) in counts.iter().zip(&weights) {
                prop_assert_eq!(*count, weight / scale.gcd * rounds as u32);
            }
        }

        #[test]
        fn any_position_leads_to_a_server_with_weight(position in any::<u64>(), weights in prop::collection::vec(0u32..40, 1..8)) {
            prop_assume!(weights.iter().any(|&w| w > 0));
            let rotation = Rotation { position: AtomicU64::new(position) };
            let scale = Scale::of(weights.iter().copied());
            for _ in 0..20 {
                let at = rotation.next(weights.len(), scale, |at| weights[at]).unwrap();
                prop_assert!(weights[at] > 0);
            }
        }
    }
}
