"""Prefect's policy around one domain call each: cache, claims, retries, limits. No stage writes that again."""
