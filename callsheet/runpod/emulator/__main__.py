"""`python -m callsheet.runpod.emulator`: see service.py."""

from callsheet.runpod.emulator.service import main

main()
