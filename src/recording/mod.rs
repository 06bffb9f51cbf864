//! XDF: reading, writing, and the recorder thread.
