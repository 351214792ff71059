//! Lines from strangers: bounded, cut below the grammar.
