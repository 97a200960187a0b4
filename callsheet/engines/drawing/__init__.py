"""Drawn pictures for the placeholder engine: people, backdrops, lettering. No model, no network.

dice.py     stable choices from words         pen.py       smooth shapes on a supersampled canvas
looks.py    who looks how                     acting.py    emotions, angles and how they move
hair.py, figure.py  the drawn person          backdrop.py  the place behind
lettering.py  text                            planes.py    video frames put together from layers
poster.py   the poster                        stage.py     a clip, frame by frame
"""
