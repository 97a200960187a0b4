"""The same film made by callsheet, by hand-written ffmpeg and by moviepy, measured side by side.

    make bench                                   the three cases, all contenders in turn
    make bench ARGS='--growth'                   callsheet alone, at 1, 5, 20 and 60 minutes
"""
