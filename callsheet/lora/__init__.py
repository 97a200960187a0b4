"""What a LoRA file is, read from its header alone."""
