//! Numbers of bytes, as a person writes them.

/// Reads `65536`, `64KiB` or `1MiB`.
pub(crate) fn parse(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let unit = match text[digits.len()..].trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        other => return Err(format!("`{other}` is no unit: use KiB, MiB, GiB or none for bytes")),
    };
    let number: u64 = digits.parse().map_err(|_| "it is no number of bytes".to_owned())?;
    let bytes = number.checked_mul(unit).and_then(|bytes| usize::try_from(bytes).ok());
    bytes.ok_or_else(|| "it is more than the address space has".to_owned())
}
