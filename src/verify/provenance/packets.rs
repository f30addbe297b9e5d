//! Packets of OpenPGP as they lie in a file (RFC 9580, section 4.2), as far as is needed to leave some out.

/// The type of a trust packet.
const TRUST: u8 = 12;

/// The same packets without those of trust: GnuPG keeps its own notes in its rings, between a user id and the
/// signatures over it, where a reader of keys expects none. What is no packet of a known length is kept as it is.
pub(super) fn without_trust(bytes: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((tag, length)) = header(rest) {
        let Some((packet, after)) = rest.split_at_checked(length) else { break };
        if tag != TRUST {
            kept.extend_from_slice(packet);
        }
        rest = after;
    }
    kept.extend_from_slice(rest);
    kept
}

/// The type of the first packet and its length, header included; nothing where that is not known.
fn header(bytes: &[u8]) -> Option<(u8, usize)> {
    let (first, rest) = bytes.split_first()?;
    let number = |count: usize| {
        let digits = rest.get(..count)?;
        let value = digits.iter().fold(0_usize, |value, digit| (value << 8) | usize::from(*digit));
        Some((count, value))
    };
    let (tag, (size, length)) = match (first & 0x80, first & 0x40) {
        (0, _) => return None,
        (_, 0) => {
            let size = match first & 3 {
                0 => 1,
                1 => 2,
                2 => 4,
                _ => return None,
            };
            ((first >> 2) & 0x0f, number(size)?)
        }
        _ => {
            let second = usize::from(*rest.first()?);
            let length = match second {
                0..192 => (1, second),
                192..224 => (2, ((second - 192) << 8) + usize::from(*rest.get(1)?) + 192),
                255 => {
                    let digits = rest.get(1..5)?;
                    (5, digits.iter().fold(0, |value, digit| (value << 8) | usize::from(*digit)))
                }
                _ => return None,
            };
            (first & 0x3f, length)
        }
    };
    Some((tag, length.checked_add(size)?.checked_add(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packets_of_trust_are_left_out() {
        // Old and new headers, in each of their sizes.
        let user = [0xb4, 1, b'a'];
        let long = [&[0xb5, 0, 2][..], b"ab"].concat();
        let longer = [&[0xb6, 0, 0, 0, 1][..], b"c"].concat();
        let new = [0xcd, 1, b'd'];
        let newer = [&[0xcd, 192, 0][..], &[7; 192]].concat();
        let newest = [&[0xcd, 255, 0, 0, 0, 1][..], b"e"].concat();
        let trust = [&[0xb0, 2, 0, 0][..], &[0xcc, 1, 9]].concat();
        let all =
            [&user[..], &trust, &long, &longer, &trust, &new, &newer, &trust, &newest].concat();
        let expected = [&user[..], &long, &longer, &new, &newer, &newest].concat();
        assert_eq!(without_trust(&all), expected);
    }

    #[test]
    fn what_is_not_understood_is_kept() {
        for bytes in [
            &b""[..],
            b"text",
            &[0xb0],
            &[0xb0, 9, 1],
            &[0xb3, 1],
            &[0xcd, 230, 1],
            &[0xcc, 255, 0],
        ] {
            assert_eq!(without_trust(bytes), bytes);
        }
    }
}
