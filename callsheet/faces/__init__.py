"""What moves mouths."""
