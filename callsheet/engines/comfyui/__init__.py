"""A ComfyUI server as an engine, and what it shares with the stock worker on an endpoint.

    client.py   one request each         watching.py   a job until it is over     running.py   a graph until its files
    outputs.py  what the history tells   server_files.py  models and LoRAs there   graphs.py    recipes as graphs
    first_frame.py  what a clip starts from    previews.py  pictures of unfinished work
    results.py  files as our artifacts   casting.py    models for an order        engine.py    the engine
"""
