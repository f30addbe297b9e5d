//! What a result says to people (INTERFACE: words). Pure: results in, text out.
//!
//! What came from a chart, a certificate or a registry may hold control characters; every value is
//! escaped here (Helm CVE-2021-21303), so no caller has to remember to.

use std::fmt::Write as _;

use crate::error::{Class, Error, Line};
use crate::run::{Format, HelmEntryReport, Outcome, Status, Verdict};

/// Between the columns of a line (`IDENTITY   issuer ISSUER`).
const COLUMN_GAP: &str = "   ";
/// The widest column that others are aligned to.
const MAX_COLUMN: usize = 120;

/// A colour of the terminal, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    /// What succeeded.
    Green,
    /// What may help.
    Cyan,
    /// What failed.
    Red,
    /// What deserves a look.
    Yellow,
}

impl Paint {
    /// `text` in this colour where `on`.
    pub(super) fn over(self, text: &str, on: bool) -> String {
        let code = match self {
            Self::Cyan => 36,
            Self::Green => 32,
            Self::Red => 31,
            Self::Yellow => 33,
        };
        if on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// A success, as lines of `Label: value`.
pub(super) fn success(outcome: &Outcome, color: bool) -> String {
    let mut text = String::new();
    text.push_str(&pushed(outcome, color));
    if outcome.verdict == Verdict::Pushed {
        if !outcome.weakened.is_empty() {
            let _ = writeln!(text, "Weakened by: {}", escape(&outcome.weakened.join(", ")));
        }
        return text;
    }
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(text, "{label}: {}", escape(value));
    };
    let object = outcome.reference.as_deref().unwrap_or(&outcome.input);
    let mut made = outcome.signatures.iter();
    let made = made.find(|one| one.format == Some(Format::Attestation));
    let headline = match (outcome.verdict, outcome.already_signed) {
        (Verdict::Signed, Some(true)) => "Already signed",
        (Verdict::Signed, _) if made.is_some() => "Attested",
        (Verdict::Signed, _) => "Signed",
        _ => "Verified",
    };
    line(&Paint::Green.over(headline, color), object);
    let digest = outcome.manifest_digest.as_ref().or(outcome.chart_digest.as_ref());
    if let (Verdict::Signed, Some(digest), None) = (outcome.verdict, digest, outcome.pushed) {
        line("Digest", digest);
    }
    if outcome.is_provenance_only() {
        line("Accepted by", "provenance alone; unsigned in Sigstore");
    }
    let mut named = false;
    let bundles_only = outcome.signatures.iter().all(|one| one.format != Some(Format::Legacy));
    for signature in outcome.signatures.iter().filter(|s| s.status == Status::Accepted) {
        let told = bundles_only || outcome.verdict == Verdict::Signed;
        if let (false, Some(format)) = (told, signature.format) {
            line("Format", &format!("{} ({})", format.as_str(), signature.place.words()));
        }
        if let (Some(Format::Attestation), Some(kind)) =
            (signature.format, &signature.predicate_type)
        {
            line("Predicate", kind);
        }
        // What we signed in several formats was signed by one.
        let again = outcome.verdict == Verdict::Signed && std::mem::replace(&mut named, true);
        if let Some(signer) = signature.signer.as_ref().filter(|_| !again) {
            match (&signer.key_id, &signer.identity, &signer.issuer) {
                (Some(id), _, _) => line("Signed by", &format!("key {id}")),
                (None, identity, issuer) => {
                    line("Signed by", identity.as_deref().unwrap_or_default());
                    line("Issued by", issuer.as_deref().unwrap_or_default());
                }
            }
        }
        // The user typed a short form: this is what was compared for it.
        if let Some(trusted) = &signature.trusted_as
            && let Some(short) = &trusted.short
        {
            let mut words = format!("{} issuer {}", trusted.identity, trusted.issuer);
            for constraint in &trusted.constraints {
                let _ = write!(words, ", {constraint}");
            }
            line("Trusted as", &format!("{short} ({words})"));
        }
        if let Some(log) = &signature.log {
            line("Logged in", &log.words());
            if let (None, Some(time)) = (log.time, signature.timestamp) {
                line("Timestamp", &time.to_string());
            }
        } else {
            // A certificate's signature is without log only where its instance has none.
            let words = match (outcome.verdict, signature.sct) {
                (Verdict::Signed, _) => "no log",
                (_, Some(_)) => "no log (the trusted root has none)",
                (_, None) => "not checked",
            };
            line("Logged in", words);
            if let Some(time) = signature.timestamp {
                line("Timestamp", &time.to_string());
            }
        }
    }
    for signature in outcome.signatures.iter().filter(|s| s.status == Status::Accepted) {
        if signature.sct == Some(false) {
            line("Certificate log", "none (the trusted root has none)");
        }
        if let Some(root) = &signature.trusted_root {
            let authority = root.authority.as_deref().unwrap_or("no certificate authority");
            line("Trusted root", &format!("{} of {} ({authority})", root.number, root.of));
        }
    }
    let others = outcome.signatures.iter().filter(|s| s.status != Status::Accepted);
    for signature in others.filter(|_| outcome.all) {
        let format = signature.format.map_or("other", Format::as_str);
        let why = signature.message.as_deref().or(signature.predicate_type.as_deref());
        let place = signature.place.words();
        line("Not counted", &format!("{} ({format}, {place})", why.unwrap_or("no signature")));
    }
    if let Some(repository) = &outcome.signature_repository {
        line("Signatures in", repository);
    }
    if outcome.verdict == Verdict::Verified {
        if let Some(digest) = &outcome.chart_digest {
            let how = outcome.notes.first().map(String::as_str).unwrap_or_default();
            line("Chart Hash Verified", &format!("{digest}{COLUMN_GAP}({how})"));
        }
        for note in outcome.notes.iter().skip(1) {
            let _ = writeln!(text, "{}", escape(note));
        }
        if let Some(pinned) = &outcome.digest_ref {
            let _ = writeln!(text, "Pinned: {}", escape(pinned));
        }
        if let Some(provenance) = &outcome.provenance {
            let words = match &provenance.message {
                None => "PGP signature verified".to_owned(),
                Some(message) => format!("not verified ({message})"),
            };
            let _ = writeln!(text, "Provenance: {}", escape(&words));
            // Helm's own words.
            for (label, value) in provenance.lines() {
                let _ = writeln!(text, "{label}: {}", escape(&value));
            }
        }
        for (label, value) in outcome.helm_entry.iter().flat_map(HelmEntryReport::lines) {
            let _ = writeln!(text, "{label}: {}", escape(&value));
        }
    } else {
        for attached in outcome.attached.iter().flatten() {
            line("Attached", &format!("{} ({})", attached.digest, attached.place.words()));
        }
    }
    if let Some(file) = &outcome.bundle_file {
        let _ = writeln!(text, "Bundle: {}", escape(file));
    }
    let policy = outcome.policy.as_ref().filter(|_| outcome.verdict == Verdict::Verified);
    if let Some((file, rule)) = policy.and_then(|one| one.file.as_ref().zip(one.rule.as_ref())) {
        let _ = writeln!(text, "Policy: {} (rule {})", escape(file), escape(rule));
    }
    if let Some(file) = policy.and_then(|policy| policy.replaces.as_ref()) {
        let _ = writeln!(text, "Policy: the flags, in place of {}", escape(file));
    }
    if !outcome.weakened.is_empty() {
        let _ = writeln!(text, "Weakened by: {}", escape(&outcome.weakened.join(", ")));
    }
    text
}

/// The two lines of `helm push`, in its words; nothing where nothing was pushed.
pub(super) fn pushed(outcome: &Outcome, color: bool) -> String {
    let (Some(pushed), Some(digest)) = (outcome.pushed, &outcome.manifest_digest) else {
        return String::new();
    };
    let headline = if pushed { "Pushed" } else { "Already pushed" };
    let reference = outcome.reference.as_deref().unwrap_or_default();
    let reference = reference.strip_prefix("oci://").unwrap_or(reference);
    let headline = Paint::Green.over(headline, color);
    format!("{headline}: {}\nDigest: {}\n", escape(reference), escape(digest))
}

/// A failure: the headline, its lines with their labels aligned, and at most one hint. `aftermath` is what
/// an undecided end means for the chart.
pub(super) fn failure(error: &Error, aftermath: &str, color: bool) -> String {
    let mut text = format!("{}: {}", Paint::Red.over("error", color), escape(&error.what));
    if !error.object.is_empty() {
        let _ = write!(text, ": {}", escape(&error.object));
    }
    if let Some(digest) = &error.digest {
        let _ = write!(text, " ({})", escape(digest));
    }
    text.push('\n');
    let label_width = error.lines.iter().map(|line| line.label.len()).max().unwrap_or(0);
    let column_width = column_width(&error.lines);
    for Line { label, text: value } in &error.lines {
        let value = match value.split_once(COLUMN_GAP) {
            Some((left, right)) if !label.is_empty() => {
                format!("{:column_width$}{COLUMN_GAP}{}", escape(left), escape(right))
            }
            _ => escape(value),
        };
        match *label {
            "" => writeln!(text, "  {value}"),
            label => writeln!(text, "  {label:label_width$}  {value}"),
        }
        .unwrap_or_default();
    }
    if error.class == Class::Undecided {
        let _ = writeln!(text, "  {aftermath}; retry");
    }
    if let Some(hint) = &error.hint {
        let _ = writeln!(text, "{}: {}", Paint::Cyan.over("hint", color), escape(hint));
    }
    text
}

/// How wide the first of two columns is: expected and found stand below each other.
fn column_width(lines: &[Line]) -> usize {
    let columns = lines.iter().filter_map(|line| line.text.split_once(COLUMN_GAP));
    let widths = columns.map(|(left, _)| escape(left).chars().count());
    widths.filter(|width| *width <= MAX_COLUMN).max().unwrap_or(0)
}

/// The host of a log's URL, which is how people know it.
pub(super) fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// Makes every character visible: control characters and the marks that hide or reorder text are written
/// as `\u{…}`, and nothing can break out of its line.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) {
            safe.extend(character.escape_unicode());
        } else {
            safe.push(character);
        }
    }
    safe
}

/// The same for a JSON document, whose own escapes cover only ASCII: such a character can stand only
/// inside a string, where `\uXXXX` means the same.
pub(super) fn escape_json(document: &str) -> String {
    let mut safe = String::with_capacity(document.len());
    for character in document.chars() {
        if is_hidden(character) && !character.is_ascii() || character == '\u{7f}' {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(character);
        }
    }
    safe
}

/// Control characters, and what Unicode calls format characters that show nothing or change the order.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Reason;

    #[test]
    fn escapes_what_hides_or_reorders_text() {
        assert_eq!(escape("a\u{1b}[31mb\nc"), "a\\u{1b}[31mb\\u{a}c");
        assert_eq!(escape("x\u{202e}y\u{9b}z\u{e0041}"), "x\\u{202e}y\\u{9b}z\\u{e0041}");
        assert_eq!(escape("über/…"), "über/…");
    }

    #[test]
    fn a_document_holds_no_raw_control_characters_and_means_the_same() {
        let value = serde_json::json!({"a": "x\u{1b}\u{9b}\u{202e}\u{e0041}\u{7f}ü"});
        let text = escape_json(&value.to_string());
        assert!(!text.chars().any(is_hidden), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn a_failure_has_aligned_lines_and_one_hint() {
        let error = Error::refused(Reason::WrongSigner, "wrong signer")
            .on("oci://r/web:1\u{7}")
            .at_digest("sha256:00")
            .expected_found(
                "alice@example.com   issuer a",
                "bob@x.org   issuer b   (1 valid signature)",
            )
            .hint("do this");
        assert_eq!(
            failure(&error, "", false),
            "error: wrong signer: oci://r/web:1\\u{7} (sha256:00)
  expected  alice@example.com   issuer a
  found     bob@x.org           issuer b   (1 valid signature)
hint: do this
"
        );
    }

    #[test]
    fn an_undecided_end_says_what_it_means() {
        let error = Error::undecided(Reason::Throttled, "GET /x: 429").on("oci://r/web");
        assert_eq!(
            failure(&error, "nothing was verified", false),
            "error: undecided: oci://r/web\n  cause  GET /x: 429\n  nothing was verified; retry\n"
        );
    }
}
