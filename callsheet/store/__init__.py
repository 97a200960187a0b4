"""Content-addressed files and one log per recipe: a local folder, S3 or R2."""
