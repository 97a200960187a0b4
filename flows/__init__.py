"""What happens, in which order. No I/O of its own."""
