"""The contact sheet: one page with every production of a batch, for the morning.

Plain HTML that opens from a folder or a bucket; no outside files. Built purely from productions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from urllib.parse import quote

from callsheet.production import Production, Status, in_short

_STYLE = """
:root { color-scheme: light dark; --paper: #f6f5f2; --ink: #1d1d1f; --card: #fff; --soft: #6b6b70; --line: #e2e0da;
        --made: #1a7f4b; --waiting: #9a6b00; --failed: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --paper: #17171a; --ink: #f0eff0; --card: #212126; --soft: #a2a2aa;
        --line: #36363d; --made: #5cc98c; --waiting: #e3b341; --failed: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 2rem clamp(1rem, 4vw, 3rem); background: var(--paper); color: var(--ink);
       font: 16px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.6rem; } h2 { margin: 0; font-size: 1.15rem; }
header p, .soft { color: var(--soft); margin: .2rem 0 0; font-size: .9rem; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); gap: 1.5rem;
       margin-top: 1.5rem; align-items: start; }
article { background: var(--card); border: 1px solid var(--line); border-radius: 12px; overflow: hidden; }
article > div { padding: 1rem 1.1rem 1.2rem; }
.film { display: block; width: 100%; max-height: 32rem; object-fit: contain; background: #000; }
.head { display: flex; gap: .9rem; align-items: center; }
.head img { width: 64px; height: 64px; border-radius: 8px; object-fit: cover; }
.badge { font-size: .78rem; font-weight: 600; padding: .1rem .55rem; border-radius: 99px; border: 1.5px solid; }
.made { color: var(--made); } .waiting, .stopped { color: var(--waiting); }
.failed, .cancelled { color: var(--failed); }
.takes { display: grid; grid-template-columns: repeat(4, 1fr); gap: .4rem; margin-top: .8rem; }
.takes video { width: 100%; aspect-ratio: 1; object-fit: cover; border-radius: 6px; background: #000; }
.links a { margin-right: .9rem; } a { color: inherit; }
details { margin-top: .6rem; } table { border-collapse: collapse; font-size: .82rem; width: 100%; }
td { padding: .15rem .5rem .15rem 0; border-top: 1px solid var(--line); } td:last-child { text-align: right; }
"""

_PLAY = 'onmouseenter="this.play()" onfocus="this.play()" onmouseleave="this.pause()" onblur="this.pause()"'
"""A take plays while one points at it. It starts shown in its middle: its first frame is the poster."""


def page(
    title: str, productions: Sequence[Production], made_at: datetime, base: str, captions: Mapping[str, str]
) -> str:
    """The whole page. Links below `base`, the delivery's URL, become relative to a page one folder down.

    `captions` has WebVTT texts by URL: they lie inside the page, because a page opened from a folder may not load
    its neighbours.
    """
    counts = Counter(p.status for p in productions)
    summary = ", ".join(f"{counts[status]} {status}" for status in Status if counts[status])
    cards = "\n".join(_card(p, base, captions) for p in productions)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}: contact sheet</title><style>{_STYLE}</style></head>
<body><header><h1>{escape(title)}</h1><p>{summary or "nothing in it"} &middot; {made_at:%Y-%m-%d %H:%M} UTC</p></header>
<main>
{cards}
</main></body></html>
"""


def _card(p: Production, base: str, texts: Mapping[str, str]) -> str:
    if p.status is not Status.MADE:
        kept = f'<p class="links"><a href="{_link(p.kept, base)}">the film that was made</a></p>' if p.kept else ""
        return f"""<article><div>{_head(p, base)}<p>{escape(p.error or p.status)}</p>{kept}</div></article>"""
    cached = sum(row.cached for row in p.stages)
    captions = "".join(
        f'<a href="{_link(url, base)}">{escape(url.rpartition(".")[2])}</a>' for url in p.captions
    )
    stems = "".join(
        f'<a href="{_link(url, base)}">{escape(name.replace("_", " "))}</a>' for name, url in p.stems.items()
    )
    track = "".join(
        f'<track kind="captions" label="captions" src="{_caption_source(url, base, texts)}">'
        for url in p.captions
        if url.endswith(".vtt")
    )
    size = p.format.partition("@")[0].replace("x", " / ")
    by = ", ".join(p.engines)
    takes = "".join(
        f'<video src="{_link(url, base)}#t=2.5" muted loop playsinline preload="metadata" tabindex="0" {_PLAY}></video>'
        for url in p.takes.get(p.actor_id, ())
    )
    notes = "".join(f"<p class=waiting>{escape(str(note))}</p>" for note in (*in_short(p.fallbacks), *p.warnings))
    return f"""<article>
<video class="film" style="aspect-ratio: {size}" controls playsinline preload="metadata"
 poster="{_link(p.thumbnail, base)}" src="{_link(p.video, base)}">{track}</video>
<div>{_head(p, base)}
<p class="soft">{p.duration:.2f} s &middot; {escape(p.format)} &middot; pictures by {escape(by)} &middot;
 {cached} of {len(p.stages)} stages were there already{_cost(p)}</p>{notes}
<div class="takes">{takes}</div>
<p class="links"><a href="{_link(p.video, base)}">video</a>
 <a href="{_link(p.posters[p.actor_id], base)}">poster</a>{captions}{stems}</p>
{_stages(p)}</div></article>"""


def _cost(p: Production) -> str:
    return f" &middot; GPU work ${p.cost_usd:.4f}" if p.cost_usd else ""


def _caption_source(url: str, base: str, texts: Mapping[str, str]) -> str:
    return f"data:text/vtt;charset=utf-8,{quote(texts[url])}" if url in texts else _link(url, base)


def _head(p: Production, base: str) -> str:
    poster = p.posters.get(p.actor_id)
    picture = f'<img src="{_link(poster, base)}" alt="poster of {escape(p.actor_id)}">' if poster else ""
    return (
        f'<div class="head">{picture}<div><h2>{escape(p.title)}</h2>'
        f'<span class="soft">{escape(p.actor_id)}</span> <span class="badge {p.status}">{p.status}</span></div></div>'
    )


def _stages(p: Production) -> str:
    rows = "".join(
        f"<tr><td>{escape(row.stage)}</td><td>{escape(row.label)}</td><td>{escape(row.maker)}</td>"
        f"<td>{'cached' if row.cached else f'{row.seconds:.1f} s'}</td></tr>"
        for row in p.stages
    )
    return f"<details><summary>stages</summary><table>{rows}</table></details>"


def _link(url: str, base: str) -> str:
    return escape("../" + url.removeprefix(base).lstrip("/") if url.startswith(base) else url, quote=True)
