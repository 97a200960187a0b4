"""Order -> production: the whole chain, top to bottom.

    callsheet run manifests/examples/actors.csv       one produce an actor
    prefect deployment run produce/cpu                an order as JSON
"""

from __future__ import annotations

from datetime import datetime

from prefect import flow

from callsheet.models import Gpu, Order, Purse
from callsheet.production import Production
from callsheet.recipe import Stage
from flows.shoot import filmed, prepared
from tasks.account import account
from tasks.check import check
from tasks.conform import conform
from tasks.fallback import insist_on_generated
from tasks.gate import Attempts
from tasks.mix import mix
from tasks.results import delivered
from tasks.run import running
from tasks.show import poster_picture, production_pages, progress
from tasks.splice import splice
from tasks.stage import SIDE_BY_SIDE
from tasks.upload import upload


@flow(name="produce", flow_run_name="{order.title}", task_runner=SIDE_BY_SIDE)
def produce(
    order: Order,
    gpu: Gpu = Gpu.AUTO,
    refresh: list[Stage] | None = None,
    started: datetime | None = None,
    write_back: str = "",
    purse: Purse | None = None,
) -> Production:
    """Make one finished video, and everything that leads to it.

    Args:
        order: Cast, script, sound, format, quality, delivery.
        gpu: Where posters, takes, segments and lip-sync are made.
        refresh: Stages to make anew even if they are made.
        started: Refreshed stages accept what was made after this moment; empty means now.
        write_back: A manifest whose poster_frame_url is to be updated; empty for none.
        purse: The batch that pays; empty for a film by itself.
    """
    with running(order.title, refresh or (), started, gpu, purse):
        attempts = Attempts(order, prepared)        # train_complete, intake, speech
        for planned in attempts:                    # more than one where scenes fail
            with progress(planned):
                film = filmed(planned)      # poster, takes, segments, lip-sync: the GPU half
                conform.each(film.conform)  # each frame is encoded once, here
                splice.one(film.splice)     # copies; encodes transition windows only
                mix.one(film.mix)
                check.one(film.check)       # looked at and listened to: tell, shoot scenes anew, or stop
                if attempts.passed(film):
                    insist_on_generated(film)
                    upload.one(film.upload)
        production = delivered(account(film, attempts.made, attempts.estimate_usd), write_back)
        for recipe in film.posters:
            poster_picture(recipe.label, recipe.ref())
        production_pages(production)
        return production
