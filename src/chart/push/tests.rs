use super::*;

#[test]
fn json_is_escaped_as_go_does() {
    let bytes = go_json(&Value::String("<a&b>\u{2028}\u{8}\n\u{1}é".to_owned()));
    let expected = "\"\\u003ca\\u0026b\\u003e\\u2028\\b\\n\\u0001é\"";
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

#[test]
fn what_yaml_1_1_reads_in_another_way_is_not_guessed() {
    for text in ["0x1f", "0b1", "+1e12__", "1_000", "0777", "08"] {
        assert!(!is_read_alike(text), "{text}");
    }
    for text in ["yes", "", "1.2.3", "v1", "on call", "_1", "2020-01-01", "0"] {
        assert!(is_read_alike(text), "{text}");
    }
    for (key, alike) in [("n", false), ("On", false), ("1.0", false), ("7", true), ("a.b/c", true)]
    {
        assert_eq!(is_key_read_alike(key), alike, "{key}");
    }
    assert_eq!(text(&serde_json::json!(1.16)).unwrap(), "1.16");
    assert!(text(&serde_json::json!(1e300)).is_err());
}

#[test]
fn a_number_becomes_text_in_single_precision_as_in_helm() {
    // What Go 1.26 writes, and `helm push` of 3.22 and 4.3 stored of the first seven.
    for (number, written) in [
        (1.10, "1.1"),
        (123_456.789, "123456.79"),
        (100_000.5, "100000.5"),
        (999_999.97, "1e+06"),
        (1e6, "1e+06"),
        (1.5e9, "1.5e+09"),
        (1_000_000.5, "1.0000005e+06"),
        (1.234_567_890_123_456_8e29, "1.2345679e+29"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1e-7, "1e-07"),
        (0.0, "0"),
        (-0.0, "-0"),
        (-2.5, "-2.5"),
        // Between two texts of eight digits.
        (370_379.125, "370379.12"),
        (-3_512_070.25, "-3.5120702e+06"),
    ] {
        assert_eq!(go_float(number).as_deref(), Some(written), "{number}");
    }
    assert_eq!(go_float(f64::INFINITY), None);
}
