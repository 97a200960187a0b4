"""The engine called `diffusers`: base models by the library's own pipelines, from weights on this machine.

    engine.py      what the engine promises: ability, posters, clips
    casting.py     which models an order gets, told from its LoRAs' families
    work.py        one piece of work as a pipeline sees it, and how its progress is told
    loading.py     weights -> pipeline, one line a base model
    memory.py      how a model is held in the memory that is free
    holding.py     a pipeline on its device: whole, in eight bits, or in parts
    warm.py        one loaded pipeline serves a queue of recipes; LoRAs are swapped under it
    stack.py       LoRA files: family checked before, presence after they are loaded
    scales.py      LoRA files whose layers have scales of their own
    samplers.py    ComfyUI's names of samplers and schedulers
    steps.py       calling a pipeline: its solver, and each step told
    words.py       long prompts for models that read 75 tokens at a time
    pictures.py    posters: FLUX.1, SDXL, SD 1.5
    sketch.py      a quick look at unfinished work
    wan.py         clips: Wan 2.2
    animatediff.py clips: AnimateDiff on SDXL and SD 1.5
    freenoise.py   clips longer than a motion adapter was made for
    control.py     clips led by pictures through a ControlNet
    canvas.py      sides and frames that a model takes, and back
"""
