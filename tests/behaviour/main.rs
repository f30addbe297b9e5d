//! What a user can see, behaviour by behaviour, against an in-process registry and Sigstore.

mod support;

mod story;
