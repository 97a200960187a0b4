"""Drawn pictures for the placeholder engine: people, backdrops, lettering. No model, no network.

dice.py     stable choices from words         pen.py       smooth shapes on a supersampled canvas
looks.py    who looks how                     acting.py    emotions, angles and how they move
face.py hair.py clothing.py figure.py  the drawn person
backdrop.py places.py  the place behind
lettering.py  text                          planes.py    video frames put together from layers
staging.py  who stands where                stage.py     a clip, frame by frame
banner.py   the strip with the words        poster.py    the poster
"""
