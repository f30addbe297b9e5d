//! The fallback index against real readers and writers.
