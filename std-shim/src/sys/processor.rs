//! The processor's own generator, which no snapshot of the machine holds.

/// Eight bytes of it, `RDRAND`; `None` where there is none, or none that answers.
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(crate) fn random_word() -> Option<u64> {
    if !std::arch::is_x86_feature_detected!("rdrand") {
        return None;
    }
    // As often as its maker says that one should try.
    (0..10).find_map(|_| {
        let mut word = 0;
        // SAFETY: the processor has the instruction.
        let is_drawn = unsafe { std::arch::x86_64::_rdrand64_step(&mut word) };
        (is_drawn == 1).then_some(word)
    })
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
pub(crate) fn random_word() -> Option<u64> {
    None
}
