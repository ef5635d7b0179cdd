//! A fast-key-erasure generator whose state lives in the region.
