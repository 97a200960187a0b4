"""Drawn pictures for the placeholder engine: people, backdrops, lettering. No model, no network.

dice.py     stable choices from words         pen.py       smooth shapes on a supersampled canvas
looks.py    who looks how                     acting.py    emotions, angles and how they move
face.py hair.py clothing.py figure.py  the drawn person
backdrop.py places.py  the place behind
planes.py   video frames                    sprites.py   layers that glide and turn in them
staging.py  who stands where                stage.py     a clip, frame by frame
margin.py   the strip with the words        lettering.py text
poster.py   the poster
"""
