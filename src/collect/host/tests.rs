//! The host as a whole: recorded trees against golden lists, and this machine against other sources.
