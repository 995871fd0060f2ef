"""Claims on a meeting while its handler runs: calling the store, renewing, waiting."""
