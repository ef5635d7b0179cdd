//! RFC 8439 ChaCha20-Poly1305, composed from `chacha20` and `poly1305`.
