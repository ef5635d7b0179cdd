//! The shared operations and shadow model.
