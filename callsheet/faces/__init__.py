"""What moves mouths, restores faces and enlarges pictures."""
