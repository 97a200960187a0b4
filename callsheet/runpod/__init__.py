"""RunPod: clients for its two planes, pods, the work pool, what runs over there, and an emulator of it all."""
