//! The language model: a Llama-shaped decode path, its KV tree of branches, and the fork detector.
