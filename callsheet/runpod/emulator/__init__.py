"""An emulator of RunPod on this machine: both planes over HTTP, real worker processes, pods as processes, a bill.

    serve.py       `running_emulator`: one for a test or a command, in a process of its own
    service.py     that process: socket, signals, world, server
    app.py         the doors: keys, injected faults, routes (http_*.py)
    world.py       everything that is there, and its heart beat
    jobs.py queue.py workers.py pods.py    what happens to each of them; scaling.py and billing.py are pure
    machines.py    the processes
    state.py rows.py   what is remembered, in SQLite
    privacy.py     what keeps it its owner's alone: files, key, names

It is no model of speed: how long things take is what the options say.
"""
