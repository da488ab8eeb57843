//! The bounds of histograms, as the EPP has them: in millionths where its unit is the second or a
//! share, so that all of them are whole numbers.

/// Bounds of a request's whole duration, 5 ms to an hour.
pub(super) const DURATION: &[u64] = &[
    5_000,
    25_000,
    50_000,
    100_000,
    200_000,
    400_000,
    600_000,
    800_000,
    1_000_000,
    1_250_000,
    1_500_000,
    2_000_000,
    3_000_000,
    4_000_000,
    5_000_000,
    6_000_000,
    8_000_000,
    10_000_000,
    15_000_000,
    20_000_000,
    30_000_000,
    45_000_000,
    60_000_000,
    120_000_000,
    180_000_000,
    240_000_000,
    300_000_000,
    360_000_000,
    480_000_000,
    600_000_000,
    900_000_000,
    1_200_000_000,
    1_800_000_000,
    2_700_000_000,
    3_600_000_000,
];

/// Bounds of the time to the first token: those of the duration up to two minutes.
pub(super) const TTFT: &[u64] = match DURATION.split_at_checked(24) {
    Some((bounds, _)) => bounds,
    None => DURATION,
};

/// Bounds of the time of a request by its output tokens.
pub(super) const PER_OUTPUT_TOKEN: &[u64] = &[
    1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000,
    5_000_000, 10_000_000,
];

/// Bounds of the time that a request is worked on.
pub(super) const REQUEST_PROCESSING: &[u64] = &[
    500, 1_000, 2_000, 5_000, 10_000, 15_000, 25_000, 40_000, 60_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// Bounds of the time that an answer is worked on.
pub(super) const RESPONSE_PROCESSING: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000,
];

/// Bounds of a stream's mean time between tokens.
pub(super) const STREAMED_TPOT: &[u64] = &[
    500, 2_050, 5_000, 10_000, 20_000, 40_000, 60_000, 80_000, 100_000, 125_000, 150_000, 200_000,
    300_000, 400_000, 500_000, 600_000, 800_000, 1_000_000, 2_000_000,
];

/// Bounds of the time between two events of a stream.
pub(super) const STREAMED_ITL: &[u64] = &[
    1_000, 5_000, 10_000, 20_000, 40_000, 60_000, 80_000, 100_000, 150_000, 200_000, 300_000,
    500_000, 750_000, 1_000_000, 2_000_000,
];

/// Bounds of a request's bytes, 64 B to 1 GiB.
pub(super) const REQUEST_BYTES: &[u64] = &powers::<25>(64);

/// Bounds of a response's bytes. The EPP has 32,778 where a power of two would be 32,768.
pub(super) const RESPONSE_BYTES: &[u64] =
    &[1, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_778, 65_536];

/// Bounds of a prompt's tokens.
pub(super) const INPUT_TOKENS: &[u64] = &[
    1, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_778, 65_536, 131_072,
    262_144, 524_288, 1_048_576,
];

/// Bounds of an answer's tokens.
pub(super) const OUTPUT_TOKENS: &[u64] =
    &[1, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192];

/// Bounds of the time in a queue, 0.1 ms to a minute.
pub(super) const QUEUE_DURATION: &[u64] = &[
    100, 500, 1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// Bounds of the time that a choice takes, 0.1 ms to 0.1 s.
pub(super) const SCHEDULER_DURATION: &[u64] = GRANT_TO_RESUME;

/// Bounds of the time that a plugin takes, 0.1 ms to 0.1 s in billionths: most take less than a millionth.
pub(super) const PLUGIN_DURATION: &[u64] = &[
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
];

/// Bounds of the time from a grant to the request's going on: those of the EPP's dispatch cycle.
pub(super) const GRANT_TO_RESUME: &[u64] =
    &[100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000];

/// Bounds of the share of a prompt that is expected to be cached.
pub(super) const HIT_RATIO: &[u64] = &[
    0, 100_000, 200_000, 300_000, 400_000, 500_000, 600_000, 700_000, 800_000, 900_000, 1_000_000,
];

/// Bounds of the bytes of a prompt that are expected to be cached.
pub(super) const HIT_BYTES: &[u64] =
    &[0, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768, 65_536];

/// Returns `first` and its doubles.
const fn powers<const N: usize>(first: u64) -> [u64; N] {
    let mut bounds = [0; N];
    let mut rest = bounds.as_mut_slice();
    let mut bound = first;
    while let Some((next, behind)) = rest.split_first_mut() {
        *next = bound;
        bound *= 2;
        rest = behind;
    }
    bounds
}
