//! The measurements, one file for each group of bars.

pub(crate) mod at_rest;
pub(crate) mod calls;
pub(crate) mod density;
pub(crate) mod growth;
pub(crate) mod libraries;
pub(crate) mod one_core;
pub(crate) mod sealing;
pub(crate) mod speed;
pub(crate) mod store;
pub(crate) mod streams;
pub(crate) mod team;
pub(crate) mod threads;
pub(crate) mod vault_threads;
pub(crate) mod waiters;
pub(crate) mod windows;
