//! GnuPG's keybox, `pubring.kbx`: blobs, of which some hold an OpenPGP key (GnuPG, `kbx/keybox-blob.c`).

/// The type of a blob that holds an OpenPGP key.
const OPENPGP: u8 = 2;
/// What the first blob, a header, holds from its eighth byte on.
const MAGIC: &[u8] = b"KBXf";
/// Blobs that are looked at, at most.
const MAX_BLOBS: usize = 100_000;

/// Whether the bytes are a keybox.
pub(super) fn is_keybox(bytes: &[u8]) -> bool {
    bytes.get(8..12) == Some(MAGIC)
}

/// The OpenPGP keys of a keybox, each as packets. Every length is held against what is there.
pub(super) fn keys(bytes: &[u8]) -> Result<Vec<&[u8]>, String> {
    let mut keys = Vec::new();
    let mut rest = bytes;
    for _ in 0..MAX_BLOBS {
        if rest.is_empty() {
            return Ok(keys);
        }
        let length = number(rest, 0).filter(|length| *length >= 8);
        let Some((blob, after)) = length.and_then(|length| rest.split_at_checked(length)) else {
            return Err("the keybox is damaged: a blob has a wrong length".to_owned());
        };
        rest = after;
        if blob.get(4) != Some(&OPENPGP) {
            continue;
        }
        let key = number(blob, 8)
            .zip(number(blob, 12))
            .and_then(|(offset, length)| blob.get(offset..offset.checked_add(length)?));
        match key {
            Some(key) => keys.push(key),
            None => return Err("the keybox is damaged: a key lies outside its blob".to_owned()),
        }
    }
    Err(format!("the keybox holds more than {MAX_BLOBS} blobs"))
}

/// A number of four bytes, the most significant first.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let four: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(four)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(kind: u8, key: &[u8]) -> Vec<u8> {
        let mut blob = vec![0; 20];
        blob[4] = kind;
        blob[8..12].copy_from_slice(&20_u32.to_be_bytes());
        blob[12..16].copy_from_slice(&u32::try_from(key.len()).unwrap().to_be_bytes());
        blob.extend_from_slice(key);
        let length = u32::try_from(blob.len()).unwrap();
        blob[..4].copy_from_slice(&length.to_be_bytes());
        blob
    }

    #[test]
    fn only_openpgp_keys_are_taken() {
        let mut bytes = blob(1, b"");
        bytes[8..12].copy_from_slice(MAGIC);
        assert!(is_keybox(&bytes));
        bytes.extend(blob(OPENPGP, b"one"));
        bytes.extend(blob(3, b"x509"));
        bytes.extend(blob(OPENPGP, b"two"));
        assert_eq!(keys(&bytes), Ok(vec![&b"one"[..], b"two"]));
    }

    #[test]
    fn of_many_blobs_no_more_are_looked_at_than_may_be() {
        // The smallest there is: a length and a type.
        let empty = [0, 0, 0, 8, 0, 0, 0, 0];
        assert_eq!(keys(&empty.repeat(MAX_BLOBS - 1)), Ok(Vec::new()));
        let error = keys(&empty.repeat(MAX_BLOBS + 1)).unwrap_err();
        assert!(error.contains("more than 100000 blobs"), "{error}");
    }

    #[test]
    fn no_length_leads_outside() {
        let good = blob(OPENPGP, b"one");
        for (at, value) in
            [(0, 0_u32), (0, 7), (0, 1 << 31), (8, u32::MAX), (12, u32::MAX), (12, 99)]
        {
            let mut bytes = good.clone();
            bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
            assert!(keys(&bytes).is_err(), "{at} {value}");
        }
        for end in 1..good.len() {
            assert!(keys(&good[..end]).is_err(), "{end}");
        }
    }
}
