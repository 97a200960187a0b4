"""The engine called `diffusers`: base models by the library's own pipelines, from weights on this machine.

    engine.py      what the engine promises: ability, casting, posters, clips
    work.py        one piece of work as a pipeline sees it, and how its progress is told
    loading.py     weights -> pipeline, one line a base model
    memory.py      how a model is held in the memory that is free
    warm.py        one loaded pipeline serves a queue of recipes; LoRAs are swapped under it
    stack.py       LoRA files: family checked before, presence after they are loaded
    samplers.py    ComfyUI's names of samplers and schedulers
    pictures.py    posters: FLUX.1, SDXL, SD 1.5
    wan.py         clips: Wan 2.2
    animatediff.py clips: AnimateDiff on SDXL and SD 1.5
"""
