//! What the browser shows.

use crate::error::Result;
use crate::sign::token::Token;

/// An answer, ready to be sent.
pub(super) fn respond(status: &str, title: &str, text: &str) -> String {
    let (title, text) = (escaped(title), escaped(text));
    let body = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
         <body style=\"font-family: sans-serif; margin: 4em auto; max-width: 40em\">\n<h1>{title}</h1>\n\
         <p>{text}</p>\n</body></html>\n"
    );
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nContent-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n\
         Referrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// What became of the sign-in.
pub(super) fn of(token: &Result<Token>) -> String {
    match token {
        Ok(token) => {
            let text =
                format!("helm-sigstore goes on as {}. This page can be closed.", token.identity());
            respond("200 OK", "Signed in", &text)
        }
        Err(error) => {
            let cause = error.lines.iter().find(|line| line.label == "cause");
            let cause = cause.map(|line| format!(" ({})", line.text)).unwrap_or_default();
            let text = format!("{}{cause}. Nothing was signed.", error.what);
            respond("400 Bad Request", "Not signed in", &text)
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::token::bad;

    #[test]
    fn what_an_issuer_says_is_text_and_no_markup() {
        let said = "<script>alert('x')</script>\"&";
        let page = of(&Err(bad("no").cause(said)));
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{page}");
        let (head, body) = page.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    }
}
