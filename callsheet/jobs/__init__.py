"""Single jobs: one request in, one reply out, under the field names of the source systems.

base.py and requests.py have the fields, reading.py takes an envelope apart, reply.py is the answer; frames.py is one
job type with its fields; the other files make a request's recipes, purely. What runs them is flows/<job_type>.py.
"""
