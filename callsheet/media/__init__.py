"""Everything done to finished pictures and sound: conform, splice, mix, captions."""
