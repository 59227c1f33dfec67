//! The short run: every target over its seeds, and over mutations of them that are the same in every run.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::Target;

/// Mutations of each target. `make fuzz` runs targets by time.
const MUTATIONS: u64 = 4_000;
/// A mutation is no longer.
const BYTES_MAX: usize = 16 * 1024;

#[test]
fn every_target_holds_for_its_seeds_and_for_mutations_of_them() {
    std::thread::scope(|scope| {
        for target in inventory::iter::<Target> {
            scope.spawn(|| {
                let seeds = seeds(target.name);
                seeds.iter().for_each(|seed| (target.run)(seed));
                for number in 0..MUTATIONS {
                    (target.run)(&mutated(&seeds, number));
                }
            });
        }
    });
}

#[test]
fn every_target_is_one_of_cargo_fuzz_s() {
    let names = |lines: &str, before: &str, after: &str| -> BTreeSet<String> {
        let named = |line: &str| Some(line.strip_prefix(before)?.strip_suffix(after)?.to_owned());
        lines.lines().filter_map(named).collect()
    };
    let manifest = fs::read_to_string(top().join("Cargo.toml")).unwrap();
    let here: BTreeSet<String> = inventory::iter::<Target>.into_iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(names(&manifest, "path = \"fuzz_targets/", ".rs\""), here);
    for name in here {
        let file = fs::read_to_string(top().join("fuzz_targets").join(format!("{name}.rs"))).unwrap();
        assert!(file.contains(&format!("fuzzing::run(\"{name}\", bytes)")), "{file}");
    }
}

#[test]
fn mutations_differ_and_are_the_same_again() {
    let seeds = [b"first".to_vec(), b"second".to_vec()];
    let some: BTreeSet<Vec<u8>> = (0..100).map(|number| mutated(&seeds, number)).collect();
    assert!(some.len() > 80, "{}", some.len());
    assert_eq!(some, (0..100).map(|number| mutated(&seeds, number)).collect());
}

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// In the order of their names.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = top().join("seeds").join(target);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{folder:?}: {e}"))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has no seeds");
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Of one seed: a few bytes changed, left out, doubled, put in, or taken from another seed.
fn mutated(seeds: &[Vec<u8>], number: u64) -> Vec<u8> {
    let mut random = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + 1 + random.below(16)).min(bytes.len());
        match random.below(6) {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
            1 => drop(bytes.drain(at..end)),
            2 => bytes.splice(at..at, bytes[at..end].to_vec()).for_each(drop),
            3 => bytes.insert(at, TELLING[random.below(TELLING.len())]),
            4 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = TELLING[random.below(TELLING.len())]),
            _ => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend(&other[from..]);
            }
        }
    }
    bytes.truncate(BYTES_MAX);
    bytes
}

/// Bytes that parsers treat in a way of their own.
const TELLING: &[u8] = b"\0\x01\x7f\x80\xff\n\r\t \"'\\/%&*-+.,:;=<>?@#[]{}()|09aZ_~^$!";

/// xorshift64*: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let wide = u128::from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)) * end as u128;
        usize::try_from(wide >> 64).expect("below a usize")
    }
}
