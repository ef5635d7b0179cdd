//! Numbers and sizes as a person writes them.

/// A number as a person writes it.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A region's size as a person writes it.
pub(crate) fn kib(bytes: usize) -> String {
    if bytes.is_multiple_of(1024 * 1024 * 1024) {
        format!("{} GiB", bytes / (1024 * 1024 * 1024))
    } else if bytes.is_multiple_of(1024 * 1024) {
        format!("{} MiB", bytes / (1024 * 1024))
    } else {
        format!("{} KiB", bytes / 1024)
    }
}
