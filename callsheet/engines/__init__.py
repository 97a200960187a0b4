"""What makes pictures and clips."""
