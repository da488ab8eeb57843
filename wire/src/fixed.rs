//! A fixed layout for values that are read or written with every request: 64-bit words in front,
//! then accounts of 40 bytes each, all little-endian. No length is variable, so that reading and
//! writing come down to copying.

use picker_core::{
    Instant,
    ledger::{Account, Accounts, EndpointKey, Sends},
};

/// Returns the bytes of words and the accounts after them, with room for `more` bytes behind.
pub(crate) fn encode(
    words: impl ExactSizeIterator<Item = u64>,
    accounts: &Accounts,
    more: usize,
) -> Vec<u8> {
    let head = 8 * words.len();
    let size = head + 40 * accounts.iter().count();
    let mut bytes = Vec::with_capacity(size + more);
    bytes.resize(size, 0);
    let (front, back) = bytes.split_at_mut(head);
    for (at, word) in front.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *at = word.to_le_bytes();
    }
    for (at, account) in back.as_chunks_mut::<40>().0.iter_mut().zip(accounts.iter()) {
        let Account { endpoint, requests, tokens, holds, uncomputed, free_at, sends } = account;
        let words = [
            endpoint.0,
            join(*requests, *tokens),
            join(*holds, *uncomputed),
            free_at.as_nanos(),
            sends.bits(),
        ];
        for (at, word) in at.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *at = word.to_le_bytes();
        }
    }
    bytes
}

/// Reads a head. Returns it and the words after it; `None` for bytes that are no whole number of words,
/// or fewer than the head has.
pub(crate) fn decode<const HEAD: usize>(bytes: &[u8]) -> Option<([u64; HEAD], &[[u8; 8]])> {
    let (words, []) = bytes.as_chunks::<8>() else { return None };
    let (head, rest) = words.split_first_chunk::<HEAD>()?;
    Some((head.map(u64::from_le_bytes), rest))
}

/// Reads accounts; `None` for words that are no whole number of them.
pub(crate) fn accounts(words: &[[u8; 8]]) -> Option<Accounts> {
    let (accounts, []) = words.as_chunks::<5>() else { return None };
    let account = |[key, counts, holds, free_at, sends]: &[[u8; 8]; 5]| {
        let (requests, tokens) = split(u64::from_le_bytes(*counts));
        let (holds, uncomputed) = split(u64::from_le_bytes(*holds));
        let endpoint = EndpointKey(u64::from_le_bytes(*key));
        let free_at = Instant::from_nanos(u64::from_le_bytes(*free_at));
        let sends = Sends::from_bits(u64::from_le_bytes(*sends));
        Account { endpoint, requests, tokens, holds, uncomputed, free_at, sends }
    };
    Some(accounts.iter().map(account).collect())
}

/// Joins two halves to a word, the lower first.
pub(crate) fn join(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// Splits a word into its halves, the lower first.
pub(crate) fn split(word: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

/// Splits off a leading word; `None` where there are fewer than eight bytes.
pub(crate) fn split_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}
