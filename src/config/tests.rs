//! Bad configs, each with the place and words of its error.
