//! Locked pages and the vault.
