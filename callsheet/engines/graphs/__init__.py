"""ComfyUI graphs as values: built purely, printed as the server's API JSON, checked before anything is sent.

    graph = poster_graph(PosterGraph(prompt="a portrait", characters=(Lora("ava.safetensors", 0.7, "Ava"),)))
    graph.as_json()             what POST /prompt takes as `prompt`
    graph.ids["main"]           id of the node whose entry in the history names the file

    poster.py  a FLUX picture             wan.py     clips of Wan 2.2, 5B and A14B      ltxv.py    clips of LTX-Video
    clip.py    what clips share           parts.py   loaders, LoRA chains, prompts      node.py    nodes, links, graph
    schema.py  what a server would not do  fields.py  what its nodes take               names.py   near matches

Core nodes only. Knows neither recipes nor a server.
"""
